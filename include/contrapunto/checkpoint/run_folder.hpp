// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/checkpoint/checkpoint.hpp"
#include "contrapunto/checkpoint/checkpoint_folder.hpp"
#include "contrapunto/checkpoint/checkpoint_parts.hpp"
#include "contrapunto/checkpoint/retention_policy.hpp"
#include "contrapunto/distributed/on_first_rank.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/io/file_lock.hpp"

namespace contrapunto {

struct RunFolderOptions {
  /// Empty: start a new run. "latest": resume from the newest checkpoint in the folder whose bytes
  /// are all as they were written; there must be one. "auto": the same, but start a new run in a
  /// folder without checkpoints; use it for jobs that are restarted. Anything else: the path of a
  /// checkpoint, which may be in another folder.
  std::string resume = {};
  RetentionPolicy keep = {};
  /// Create, lock and write nothing, for a program that only prints its plan.
  bool look_only = false;
};

/// The output folder of one run: its checkpoints and other files of the trainer. Rank 0 writes for
/// all ranks. Every rank creates a RunFolder and calls the same members together.
///
///   RunFolder folder(output, {.resume = "auto"}, ranks);
///   if (folder.resumes()) folder.load(parts);
///   ...
///   folder.save(progress.step, parts, accuracy);
class RunFolder {
 public:
  /// Creates the folder and locks it, so that two runs cannot share it. Raises on every rank if
  /// another process holds the lock, if `resume` finds no checkpoint, and if a new run would be
  /// mixed with the checkpoints of an earlier one.
  explicit RunFolder(std::filesystem::path path, const RunFolderOptions& options = {},
                     Ranks ranks = {})
      : path_(std::move(path)), ranks_(std::move(ranks)), checkpoints_(path_, options.keep) {
    on_first_rank(ranks_, [&] {
      if (options.look_only) return;
      std::filesystem::create_directories(path_);
      lock_.emplace(path_ / ".lock", "the folder '" + path_.string() +
                                         "' belongs to a run that is still going on; choose "
                                         "another output folder, or end that run");
      if (!lock_->held())
        notes_.push_back(
            "the file system of '" + path_.string() +
            "' cannot lock files, so a second run could use the folder at the same time");
    });
    // The lock is acquired first, so that the contents of the folder cannot change afterward.
    on_first_rank(ranks_, [&] { find_checkpoint(options.resume); });
    share_checkpoint();
  }

  /// Returns a path inside the folder.
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Returns the path of the run's settings, config.json.
  [[nodiscard]] std::filesystem::path config() const { return path_ / "config.json"; }
  /// Returns the path of the settings of the run that is resumed, which lie beside its checkpoint.
  /// It is empty for a new run.
  [[nodiscard]] std::filesystem::path earlier_config() const {
    return resumes() ? resume_from().parent_path() / "config.json" : std::filesystem::path();
  }

  /// Returns a file name of this rank: NAME.EXTENSION on rank 0, NAME-rank3.EXTENSION on rank 3.
  [[nodiscard]] std::filesystem::path rank_file(const std::string& name,
                                                const std::string& extension) const {
    const auto suffix = ranks_.is_first() ? "" : "-rank" + std::to_string(ranks_.rank());
    return path_ / (name + suffix + extension);
  }

  /// Whether the run resumes from a checkpoint, and its path, which raises for a new run.
  [[nodiscard]] bool resumes() const { return resume_from_.has_value(); }
  [[nodiscard]] const std::filesystem::path& resume_from() const {
    TORCH_CHECK(resume_from_, "RunFolder: '", path_.string(),
                "' holds a new run, "
                "which has no checkpoint to resume from; check resumes() first");
    return *resume_from_;
  }

  /// Whether the checkpoint from which the run resumes has the part `name`. Call it with resumes().
  [[nodiscard]] bool holds(const std::string& name) const {
    return load_checkpoint(resume_from()).contains(name);
  }

  /// What the user should know, one line each: the checkpoint from which the run resumes, damaged
  /// checkpoints that were skipped, and a file system that cannot lock files.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

  /// Restores `parts` from the checkpoint that the run resumes from. Removes checkpoints of later
  /// steps in this folder, because the run no longer continues from them.
  void load(const CheckpointParts& parts) const {
    const auto states = load_checkpoint(resume_from());
    auto own = states;
    own.erase("checkpoint");
    parts.load(own);
    if (ranks_.is_first())
      checkpoints_.discard_after(
          checkpoint_part(states, "checkpoint").scalar<std::int64_t>("step"));
  }

  /// Writes a checkpoint of `step`. `metric` must belong to exactly these weights, because the best
  /// checkpoints are kept by it. Returns when the checkpoint is on disk. Collective.
  void save(std::int64_t step, const CheckpointParts& parts,
            std::optional<double> metric = std::nullopt) const {
    auto states = parts.save();
    on_first_rank(ranks_, [&] { checkpoints_.save(step, std::move(states), metric); });
  }

  [[nodiscard]] const CheckpointFolder& checkpoints() const { return checkpoints_; }

 private:
  void find_checkpoint(const std::string& resume) {
    const auto all = checkpoints_.list();
    if (resume.empty()) {
      TORCH_CHECK(all.empty(), "the folder '", path_.string(), "' holds ", all.size(),
                  all.size() == 1 ? " checkpoint" : " checkpoints",
                  " of an earlier run, the newest of step ", all.back().step,
                  "; resume that run (\"latest\"), choose another output folder, or remove it");
      return;
    }
    if (resume != "latest" && resume != "auto") {
      TORCH_CHECK(std::filesystem::is_directory(resume), "there is no checkpoint '", resume,
                  "' to resume from");
      resume_from_ = resume;
      return;
    }
    std::string problems;
    for (auto saved = all.rbegin(); saved != all.rend(); ++saved) {
      const auto problem =
          saved->problem.empty() ? checkpoint_problem(saved->path) : saved->problem;
      if (problem.empty()) {
        resume_from_ = saved->path;
        break;
      }
      notes_.push_back("skipped a damaged checkpoint: " + problem);
      problems += "\n  " + problem;
    }
    TORCH_CHECK(resume_from_ || (resume == "auto" && all.empty()),
                "there is no complete checkpoint in '", path_.string(),
                "' to resume from; give the path of one, or start a new run in another folder",
                problems);
  }

  /// Every rank resumes from the checkpoint that rank 0 has found.
  void share_checkpoint() {
    auto text = ranks_.is_first() && resume_from_ ? resume_from_->string() : std::string();
    text = broadcast_text(ranks_, text);
    resume_from_ = text.empty() ? std::nullopt : std::optional<std::filesystem::path>(text);
    if (resume_from_) notes_.push_back("resumed from " + text);
  }

  std::filesystem::path path_;
  Ranks ranks_;
  CheckpointFolder checkpoints_;
  std::optional<FileLock> lock_;
  std::optional<std::filesystem::path> resume_from_;
  std::vector<std::string> notes_;
};

}  // namespace contrapunto
