#ifndef SYMBOLS_H
#define SYMBOLS_H

#include "inflate.h"

/** The literals and matches of one block, as far as input and room go. True once the block has ended. */
bool run_symbols(struct inflate *s, enum inflate_status *status);

#endif
