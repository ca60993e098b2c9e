// expect: BpeTokenizer needs the component `text`: use find_package(Contrapunto COMPONENTS text)
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text.hpp"

int main() {
  const contrapunto::BpeTokenizer tokenizer("vocabulary.txt.gz", {.context_length = 32});
  return static_cast<int>(tokenizer.context_length());
}
