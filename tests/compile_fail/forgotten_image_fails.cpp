// expect: DataLoader needs the component `image`: use find_package(Contrapunto COMPONENTS image)
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/data.hpp"

int main() {
  const contrapunto::DataLoader loader(contrapunto::open_data_source("synthetic"),
                                       contrapunto::ImageTransform(), nullptr, {.batch_size = 8});
  return static_cast<int>(loader.batches_per_epoch());
}
