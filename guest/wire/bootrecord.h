/* The boot record: the host's configuration of this VM, a list of fields. There is one, and it stays loaded. */
#ifndef BANGER_BOOTRECORD_H
#define BANGER_BOOTRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/fields.h"
#include "wire/protocol.h"

/* False if the file is missing, too long or malformed; then there is no record. */
bool boot_record_load(const char *path);

/* Takes a record that the host has sent in place of the one that is loaded. */
bool boot_record_set(const uint8_t *bytes, size_t length);

/* Writes the record without its secrets, for later agents. */
bool boot_record_keep(const char *path, bool in_place);

bool boot_record_has(uint16_t tag);
bool boot_record_text(uint16_t tag, char *text, size_t size);
uint64_t boot_record_number(uint16_t tag, uint64_t otherwise);
bool boot_record_field(uint16_t tag, struct field *field);

/* Calls `visit` with each value of a tag, in order. */
void boot_record_each(uint16_t tag, void (*visit)(const uint8_t *value, size_t length));

#endif
