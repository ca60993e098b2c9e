// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
//
// torch_state_driver IN.pt OUT.safetensors: writes the tensors of a state dict of torch.save, or
// prints why it is refused and ends with 2.
#include <exception>
#include <iostream>

#include "contrapunto/io/read_torch_state.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  try {
    contrapunto::write_safetensors(argv[2], contrapunto::read_torch_state(argv[1]));
  } catch (const contrapunto::DataError& error) {
    std::cout << error.what() << '\n';
    return 2;
  }
}
