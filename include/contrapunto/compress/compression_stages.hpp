// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "contrapunto/compress/transformer_units.hpp"
#include "contrapunto/settings/detail/setting_text.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// One stage of a progressive compression. It starts from the model of the stage before.
struct CompressionStage {
  /// Manual inheritance: the model of this stage, which takes a part of the weights. Empty:
  /// automatic inheritance, which learns what to remove.
  std::string model = {};
  double start_sparsity = 0.0;  ///< Automatic: fraction of the first model that is gone already.
  double sparsity = 0.0;        ///< Automatic: fraction of the first model that is gone at the
                                ///< end.
  std::int64_t mask_steps = 0;  ///< Automatic: steps in which the masks are learned.
  double epochs = 1.0;          ///< Of the whole stage.
  double lr = 1e-4;             ///< Learning rate at the end of the warm-up.
};

/// The settings of the stages of a compression, as lists with an entry for each stage. A list with
/// one entry holds for every stage. The numbers are those of TinyCLIP's automatic runs.
struct StageSettings {
  std::vector<std::string> stage_models = {};
  std::string stage_units = "leading";  ///< What they inherit; see unit_rule().
  std::vector<std::string> stage_sparsity = {"0.25", "0.5", "0.75"};
  std::vector<std::string> stage_epochs = {"6"};
  std::vector<std::string> stage_lr = {"1e-4"};
  std::vector<std::string> mask_steps = {"3000", "5000", "8000"};
  std::int64_t sparsity_ramp = 1000;
  double mask_lr = 0.02;
  std::string size_measure = "parameters";
  bool prune_image = true;
  bool prune_text = true;

  [[nodiscard]] SizeMeasure measure() const {
    return size_measure == "macs" ? SizeMeasure::kMacs : SizeMeasure::kParameters;
  }
};

namespace detail {

/// Distance of the location of a mask, in units of its learning rate, from the start (ln 100) to
/// where it is as often closed as open.
inline constexpr double kMaskTravel = 6.2;

/// Reads the entry of stage `stage` in `list`, which has one entry or one for each stage.
template <class T>
T stage_entry(const char* name, const std::vector<std::string>& list, std::size_t stage) {
  const auto& text = list.size() == 1 ? list.front() : list.at(stage);
  if constexpr (std::is_same_v<T, std::string>) {
    return text;
  } else {
    T value{};
    const auto expected = read_setting(text, value);
    TORCH_CHECK(expected.empty(), name, " has the entry '", text, "'; it must be ", expected);
    return value;
  }
}

}  // namespace detail

/// Adds `stages`, which must outlive the table, to the current section of `table`.
inline void add_stage_settings(SettingsTable& table, StageSettings& stages) {
  table.add("stage-models", stages.stage_models,
            "model of each stage, for manual inheritance; empty: learn what to remove");
  table.add("stage-units", stages.stage_units, "which units these models inherit")
      .one_of({"leading", "magnitude"});
  table.add("stage-sparsity", stages.stage_sparsity,
            "fraction of the first model that is gone after each stage");
  table.add("stage-epochs", stages.stage_epochs, "passes over the training data in each stage");
  table.add("stage-lr", stages.stage_lr, "learning rate of each stage after its warm-up");
  table.add("mask-steps", stages.mask_steps, "steps of each stage in which masks are learned");
  table.add("sparsity-ramp", stages.sparsity_ramp, "steps until the sparsity of a stage is due")
      .check(at_least(0));
  table.add("mask-lr", stages.mask_lr, "learning rate of the masks").check(above(0));
  table.add("size-measure", stages.size_measure, "what the sparsity counts")
      .one_of({"parameters", "macs"});
  table.add("prune-image", stages.prune_image, "remove units of the image tower");
  table.add("prune-text", stages.prune_text, "remove units of the text tower");
}

/// Returns the stages that the settings describe. Raises for lists of different lengths, entries
/// that are no numbers, sparsities that do not grow, masks that cannot close within their steps,
/// and numbers out of range, with the setting.
[[nodiscard]] inline std::vector<CompressionStage> compression_stages(const StageSettings& s) {
  const bool manual = !s.stage_models.empty();
  const auto count = manual ? s.stage_models.size() : s.stage_sparsity.size();
  const char* by = manual ? "stage-models" : "stage-sparsity";
  TORCH_CHECK(count > 0, "stage-sparsity is empty and so is stage-models; give one of them");
  const auto check = [&](const char* name, const std::vector<std::string>& list) {
    TORCH_CHECK(list.size() == 1 || list.size() == count, name, " has ", list.size(),
                " entries and ", by, " has ", count,
                "; give one for each stage, or one for all of them");
  };
  check("stage-epochs", s.stage_epochs);
  check("stage-lr", s.stage_lr);
  if (!manual) check("mask-steps", s.mask_steps);
  std::vector<CompressionStage> stages;
  for (std::size_t i = 0; i < count; ++i) {
    CompressionStage stage{.epochs = detail::stage_entry<double>("stage-epochs", s.stage_epochs, i),
                           .lr = detail::stage_entry<double>("stage-lr", s.stage_lr, i)};
    TORCH_CHECK(stage.epochs > 0.0 && stage.lr > 0.0, "stage ", i + 1, " has stage-epochs ",
                stage.epochs, " and stage-lr ", stage.lr, "; both must be above 0");
    if (manual) {
      stage.model = s.stage_models[i];
    } else {
      stage.start_sparsity = stages.empty() ? 0.0 : stages.back().sparsity;
      stage.sparsity = detail::stage_entry<double>("stage-sparsity", s.stage_sparsity, i);
      stage.mask_steps = detail::stage_entry<std::int64_t>("mask-steps", s.mask_steps, i);
      TORCH_CHECK(stage.start_sparsity < stage.sparsity && stage.sparsity < 1.0,
                  "stage-sparsity of stage ", i + 1, " is ", stage.sparsity,
                  "; each must be above the one before (", stage.start_sparsity,
                  ") and below 1, because units that are gone stay gone");
      TORCH_CHECK(stage.mask_steps > 0, "mask-steps of stage ", i + 1, " is ", stage.mask_steps,
                  "; it must be above 0");
      TORCH_CHECK(static_cast<double>(stage.mask_steps) * s.mask_lr >= detail::kMaskTravel,
                  "mask-steps of stage ", i + 1, " is ", stage.mask_steps, " and mask-lr is ",
                  s.mask_lr, "; a mask then cannot close, and nothing would be removed: it takes ",
                  "about ", std::ceil(detail::kMaskTravel / s.mask_lr), " steps");
    }
    stages.push_back(stage);
  }
  return stages;
}

}  // namespace contrapunto
