// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/stage_result.hpp"

#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

TEST_CASE("The result of a stage says what the model costs", "[compress][cpu]") {
  const auto config = test::small_config("ViT-B-32");
  auto model = make_dual_encoder(config);
  model->train();
  const auto result = stage_result("small", config, model, at::kCPU, 0.5, 2);
  CHECK(model->is_training());
  // Counted by hand: three blocks of width 24 with MLPs of 96.
  const std::int64_t block = 4 * 24 * 24 + 2 * 24 * 96 + 4 * 24 + 96 + 24 + 4 * 24;
  CHECK(result.image_parameters == 3 * block + 24 * 3 * 64 + 24 + 17 * 24 + 4 * 24 + 24 * 20);
  CHECK(result.text_parameters == 3 * block + 100 * 24 + 16 * 24 + 2 * 24 + 24 * 20);
  const double image =
      17 * 3 * (4 * 24 * 24 + 2 * 24 * 96) + 3 * 2 * 17 * 17 * 24 + 16 * 24 * 192 + 24 * 20;
  const double text = 16 * 3 * (4 * 24 * 24 + 2 * 24 * 96) + 3 * 2 * 16 * 16 * 24 + 24 * 20;
  CHECK(result.gmacs == Approx(1e-9 * (image + text)));
  CHECK(result.image_ms > 0.0);
  CHECK(result.text_ms > 0.0);
}

TEST_CASE("The table of stages has a line for each", "[compress][cpu]") {
  const std::vector<StageResult> results{{.name = "start",
                                          .image_parameters = 86'192'640,
                                          .text_parameters = 63'000'000,
                                          .gmacs = 20.52,
                                          .image_ms = 12.34,
                                          .text_ms = 3.2,
                                          .top1 = 0.6512},
                                         {.name = "stage-1", .image_parameters = 5'000}};
  CHECK(stage_table(results) ==
        "model    image params  text params  GMACs  ms/image  ms/text    top-1\n"
        "start         86.19 M      63.00 M   20.5      12.3      3.2  65.12 %\n"
        "stage-1        0.01 M       0.00 M      0         0        0        -\n");
}
