// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/checkpoint/checkpoint.hpp"
#include "contrapunto/checkpoint/retention_policy.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// A checkpoint on disk.
struct SavedCheckpoint {
  std::filesystem::path path;
  std::int64_t step = 0;
  std::optional<double> metric;
  std::string problem;  ///< Empty for a complete checkpoint, otherwise what is wrong with which
                        ///< file.
};

/// The checkpoints of one run, `step-000001000` and so on, in one folder. Only one process of a run
/// may call `save`. Nothing is cached between calls: every call reads the folder.
class CheckpointFolder {
 public:
  /// The checkpoints in `folder`, which need not exist yet. Raises if `keep` is out of range.
  explicit CheckpointFolder(std::filesystem::path folder, RetentionPolicy keep = {})
      : folder_(std::move(folder)), keep_(keep) {
    TORCH_CHECK(
        keep_.last >= 1 && keep_.best >= 0 && keep_.every >= 0,
        "CheckpointFolder: RetentionPolicy needs last >= 1, best >= 0 and every >= 0, got last = ",
        keep_.last, ", best = ", keep_.best, ", every = ", keep_.every);
  }

  /// Writes the checkpoint of `step`, then removes the checkpoints that no retention rule keeps and
  /// the remains of interrupted saves. Adds a part "checkpoint" with `step` and, if given,
  /// `metric`. Returns the path of the checkpoint. Raises for a negative step and if `states` has a
  /// part "checkpoint".
  std::filesystem::path save(std::int64_t step, std::map<std::string, State> states,
                             std::optional<double> metric = std::nullopt) const {
    TORCH_CHECK(step >= 0, "CheckpointFolder: step must not be negative, got ", step);
    TORCH_CHECK(states.count(kOwnPart) == 0,
                "CheckpointFolder: the part name 'checkpoint' is reserved; choose another");
    states[kOwnPart].scalars["step"] = step;
    if (metric) states[kOwnPart].scalars["metric"] = *metric;
    std::filesystem::create_directories(folder_);
    const auto path = folder_ / name_of(step);
    clean();
    save_checkpoint(path, states);
    prune(step);
    return path;
  }

  /// Removes every checkpoint after `step`. Call it if a run resumes from a checkpoint that is not
  /// the newest. Otherwise `latest` could later return a checkpoint that the run has abandoned.
  void discard_after(std::int64_t step) const {
    for (const auto& saved : list())
      if (saved.step > step) remove(saved.path);
  }

  /// Returns all checkpoints in the order of their steps, including damaged ones with their
  /// problem.
  [[nodiscard]] std::vector<SavedCheckpoint> list() const {
    std::vector<SavedCheckpoint> found;
    if (!std::filesystem::is_directory(folder_)) return found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const auto step = step_of(entry.path().filename().string());
      if (step) found.push_back(inspect(entry.path(), *step));
    }
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.step < b.step; });
    return found;
  }

  /// Returns the newest complete checkpoint, or nothing. `list` tells whether a newer one is
  /// damaged and why. The bytes of the tensors are not read; checkpoint_problem() checks them.
  [[nodiscard]] std::optional<SavedCheckpoint> latest() const {
    const auto all = complete();
    return all.empty() ? std::nullopt : std::optional(all.back());
  }

  /// Returns the complete checkpoint with the best metric, the newest among equals. Returns nothing
  /// if no checkpoint has a metric.
  [[nodiscard]] std::optional<SavedCheckpoint> best() const {
    const auto ranked = by_metric(complete());
    return ranked.empty() ? std::nullopt : std::optional(ranked.front());
  }

 private:
  static constexpr const char* kOwnPart = "checkpoint";
  static constexpr std::string_view kPrefix = "step-";

  static std::string name_of(std::int64_t step) {
    auto digits = std::to_string(step);
    digits.insert(0, digits.size() < 9 ? 9 - digits.size() : 0, '0');
    return std::string(kPrefix) + digits;
  }

  /// Returns the step of a folder name, or nothing for names that `name_of` does not produce.
  static std::optional<std::int64_t> step_of(const std::string& name) {
    if (name.rfind(kPrefix, 0) != 0) return std::nullopt;
    std::int64_t step = -1;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step);
    return step >= 0 && name_of(step) == name ? std::optional(step) : std::nullopt;
  }

  static SavedCheckpoint inspect(const std::filesystem::path& path, std::int64_t step) {
    SavedCheckpoint saved{path, step, std::nullopt, ""};
    try {
      const auto json = detail::read_checkpoint_json(path);
      const State own{{},
                      detail::part_scalars(json["parts"].value(kOwnPart, nlohmann::json::object()),
                                           "checkpoint '" + path.string() + "'")};
      if (own.scalars.count("metric") != 0) saved.metric = own.scalar<double>("metric");
    } catch (const c10::Error& error) {
      saved.problem = error.what_without_backtrace();
    } catch (
        const std::filesystem::filesystem_error& error) {  // Another process has just removed it.
      saved.problem = error.what();
    }
    return saved;
  }

  [[nodiscard]] std::vector<SavedCheckpoint> complete() const {
    auto all = list();
    std::erase_if(all, [](const auto& saved) { return !saved.problem.empty(); });
    return all;
  }

  /// Returns the checkpoints with the best metric first. A NaN is not ranked.
  [[nodiscard]] std::vector<SavedCheckpoint> by_metric(std::vector<SavedCheckpoint> all) const {
    std::erase_if(all,
                  [](const auto& saved) { return !saved.metric || std::isnan(*saved.metric); });
    std::sort(all.begin(), all.end(), [this](const auto& a, const auto& b) {
      if (*a.metric != *b.metric) return (*a.metric > *b.metric) == keep_.higher_is_better;
      return a.step > b.step;
    });
    return all;
  }

  /// Removes the remains of interrupted saves and removals.
  void clean() const {
    std::vector<std::filesystem::path> leftovers;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const auto name = entry.path().filename().string();
      const auto mark = name.find(".tmp-");
      if (mark != std::string::npos && step_of(name.substr(0, mark)))
        leftovers.push_back(entry.path());
    }
    for (const auto& path : leftovers) std::filesystem::remove_all(path);
  }

  /// Damaged checkpoints are neither counted nor removed, because a user may want to inspect them.
  void prune(std::int64_t just_saved) const {
    const auto all = complete();
    std::set<std::int64_t> kept{just_saved};
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool is_last = static_cast<std::int64_t>(all.size() - i) <= keep_.last;
      const bool is_milestone = keep_.every > 0 && all[i].step % keep_.every == 0;
      if (is_last || is_milestone) kept.insert(all[i].step);
    }
    const auto ranked = by_metric(all);
    for (std::size_t i = 0; i < ranked.size() && static_cast<std::int64_t>(i) < keep_.best; ++i)
      kept.insert(ranked[i].step);
    for (const auto& saved : all)
      if (kept.count(saved.step) == 0) remove(saved.path);
  }

  /// Renames the folder first, so that a crash leaves no partial checkpoint under a valid name.
  static void remove(const std::filesystem::path& path) {
    auto doomed = path;
    doomed += ".tmp-removed";
    std::filesystem::rename(path, doomed);
    std::filesystem::remove_all(doomed);
  }

  std::filesystem::path folder_;
  RetentionPolicy keep_;
};

}  // namespace contrapunto
