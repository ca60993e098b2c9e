// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#define CONTRAPUNTO_HAS_TEXT 1  // as linking contrapunto::text defines it
#include "contrapunto/text.hpp"

int main() {
  const contrapunto::BpeTokenizer tokenizer("vocabulary.txt.gz", {.context_length = 32});
  return static_cast<int>(tokenizer.context_length());
}
