// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/compression_stages.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("The stages of a compression are lists of settings", "[compress][cpu]") {
  StageSettings settings;
  SettingsTable table;
  table.section("Stages");
  add_stage_settings(table, settings);
  const auto automatic = compression_stages(settings);
  REQUIRE(automatic.size() == 3);
  CHECK(automatic[0].start_sparsity == 0.0);
  CHECK(automatic[1].start_sparsity == 0.25);
  CHECK(automatic[2].sparsity == 0.75);
  CHECK(automatic[1].mask_steps == 5000);
  CHECK(automatic[2].epochs == 6.0);
  CHECK(automatic[2].lr == 1e-4);
  CHECK(automatic[0].model.empty());

  settings.stage_models = {"large", "small"};
  settings.stage_lr = {"1e-4", "5e-5"};
  const auto manual = compression_stages(settings);
  REQUIRE(manual.size() == 2);
  CHECK(manual[1].model == "small");
  CHECK(manual[1].lr == 5e-5);
  CHECK(manual[1].mask_steps == 0);
}

TEST_CASE("Stages that contradict each other are refused", "[compress][cpu]") {
  const auto refused = [](auto change) {
    StageSettings settings;
    change(settings);
    return [settings] { (void)compression_stages(settings); };
  };
  CHECK_THROWS_WITH(refused([](auto& s) {
                      s.stage_epochs = {"1", "2"};
                    })(),
                    Contains("stage-epochs has 2 entries and stage-sparsity has 3"));
  CHECK_THROWS_WITH(refused([](auto& s) {
                      s.stage_sparsity = {"0.5", "0.25", "0.75"};
                    })(),
                    Contains("stage-sparsity of stage 2 is 0.25") && Contains("stay gone"));
  CHECK_THROWS_WITH(refused([](auto& s) { s.stage_sparsity = {"1"}, s.mask_steps = {"9"}; })(),
                    Contains("below 1"));
  CHECK_THROWS_WITH(refused([](auto& s) { s.stage_lr = {"fast"}; })(),
                    Contains("stage-lr has the entry 'fast'"));
  CHECK_THROWS_WITH(refused([](auto& s) { s.mask_steps = {"0"}; })(),
                    Contains("mask-steps of stage 1 is 0"));
  CHECK_THROWS_WITH(refused([](auto& s) { s.mask_steps = {"300"}; })(),
                    Contains("a mask then cannot close") && Contains("about 310 steps"));
  CHECK_THROWS_WITH(refused([](auto& s) { s.stage_sparsity = {}; })(),
                    Contains("give one of them"));
  CHECK_THROWS_WITH(refused([](auto& s) { s.stage_epochs = {"0"}; })(), Contains("stage-epochs 0"));
}
