// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto::test {

/// One setting of each kind, and their table.
struct ExampleSettings {
  ExampleSettings() {
    table.section("Data");
    table.add("train-data", train_data, "shards or 'synthetic'");
    table.add("templates", templates, "prompts, {} is the class");
    table.add("flip", flip, "mirror every second image");
    table.add("threads", threads, "decoding threads").check(at_least(1)).may_change();
    table.section("Optimization");
    table.add("batch-size", batch_size, "pairs in one optimizer step").check(at_least(2));
    table.add("loss", loss, "what is minimized").one_of({"infonce", "sigmoid"});
    table.add("ema", ema, "decay of averaged weights; 0: none").check(at_least(0)).check(below(1));
    table.add("lr", lr, "peak learning rate").check(above(0));
    table.add("warmup", warmup, "length of the warm-up").readable_by([](const std::string& text) {
      TORCH_CHECK(!text.empty() && text != "soon", "write for example 5%");
    });
    table.add("seed", seed, "of all random numbers");
  }

  std::string train_data = "synthetic";
  std::vector<std::string> templates = {"a photo of a {}."};
  bool flip = false;
  std::int64_t threads = 2;
  std::int64_t batch_size = 256;
  std::string loss = "infonce";
  double ema = 0.0;
  double lr = 5e-4;
  std::string warmup = "5%";
  std::uint64_t seed = 0;
  SettingsTable table;
};

}  // namespace contrapunto::test
