#ifndef SYMBOLS_H
#define SYMBOLS_H

#include "inflate.h"

/** Decodes a block's literals and matches as far as input and output space allow. True at the end of the block. */
bool run_symbols(struct inflate *s, enum inflate_status *status);

#endif
