// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/distillation_loss.hpp"

#include <string>
#include <vector>

#include "contrapunto/loss/tiled_info_nce.hpp"
#include "loss/loss_oracle.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("The settings of a teacher give the weighted sum of the losses", "[compress][cpu]") {
  torch::manual_seed(8);
  const DistilledEmbeddings inputs{test::random_embeddings(6, 8, 10.0),
                                   {test::random_embeddings(6, 8, 20.0)}};
  TeacherSettings settings;
  SettingsTable table;
  add_teacher_settings(table, settings);
  const TiledInfoNce own;
  const auto names = [&] {
    const auto terms = distillation_loss(settings, own)(inputs);
    std::vector<std::string> result;
    for (const auto& [name, _] : terms.parts)
      if (name.find('/') == std::string::npos) result.push_back(name);
    return result;
  };
  CHECK(names() == std::vector<std::string>{"affinity"});
  CHECK_FALSE(settings.compares_features());
  table.find("distillation")->set({"0.25"});
  CHECK(names() == std::vector<std::string>{"contrastive", "affinity"});
  table.find("feature-distillation")->set({"20"});
  CHECK(settings.compares_features());
  table.find("interactive-distillation")->set({"0.5"});
  CHECK(names() == std::vector<std::string>{"contrastive", "affinity", "features", "interactive"});
  const double expected = 0.75 * own(inputs.student).item<double>() +
                          0.25 * AffinityLoss()(inputs).total.item<double>() +
                          20 * FeatureDistillation()(inputs).item<double>() +
                          0.5 * InteractiveLoss()(inputs).item<double>();
  CHECK(distillation_loss(settings, own)(inputs).total.item<double>() ==
        Approx(expected).epsilon(1e-6));
  // Without a teacher it is the loss itself.
  const auto alone = distillation_loss(settings, own)({.student = inputs.student});
  CHECK(alone.total.item<double>() == own(inputs.student).item<double>());
  CHECK(alone.parts.empty());
  for (const auto* name : {"feature-distillation", "interactive-distillation"})
    CHECK_THROWS_WITH(table.find(name)->set({"-1"}), Contains("at least 0"));
}
