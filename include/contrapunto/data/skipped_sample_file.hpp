// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/loader_options.hpp"

namespace contrapunto {

/// Lists the samples that a loader could not use in a text file, one on each line: the index in the
/// source, a tab, and "file: key: reason". A sample is listed once, also if the run is resumed.
/// Pass a copy as LoaderOptions::on_skip; copies share the file. Samples that are skipped before
/// open() are listed then.
///
///     SkippedSampleFile skipped(std::cerr);
///     loading.on_skip = skipped;
///     ...
///     skipped.open(folder.rank_file("skipped", ".txt"));
class SkippedSampleFile {
 public:
  /// The first `named` samples of a run are also written to `out`, which must outlive this object.
  explicit SkippedSampleFile(std::ostream& out, std::int64_t named = 20)
      : state_(std::make_shared<State>(out, named)) {}

  /// Appends to the file `path` from now on, which is created with the first sample.
  void open(const std::filesystem::path& path) {
    state_->path = path;
    state_->file = {};
    state_->listed.clear();
    std::ifstream earlier(path);
    for (std::string line; std::getline(earlier, line);) state_->listed.insert(hash_of(line));
    for (const auto& sample : std::exchange(state_->waiting, {})) list(sample);
  }

  /// Lists the sample. A file that cannot be written, as on a full disk, is named once and does not
  /// end the run.
  void operator()(const SkippedSample& sample) {
    if (state_->told < state_->named) {
      state_->out << "skipped " << sample.reason << "\n";
      if (++state_->told == state_->named)
        state_->out << "further skipped samples are not shown here\n";
    }
    if (state_->path.empty())
      state_->waiting.push_back(sample);
    else
      list(sample);
  }

 private:
  struct State {
    State(std::ostream& its_out, std::int64_t its_named) : out(its_out), named(its_named) {}
    std::ostream& out;
    std::int64_t named;
    std::int64_t told = 0;
    std::filesystem::path path;
    std::ofstream file;
    std::set<std::int64_t> listed;  // Hashes of the lines in the file.
    std::vector<SkippedSample> waiting;
    bool failed = false;
  };

  void list(const SkippedSample& sample) {
    const std::string line = std::to_string(sample.index) + '\t' + sample.reason;
    if (!state_->listed.insert(hash_of(line)).second) return;
    if (!state_->file.is_open()) state_->file.open(state_->path, std::ios::app);
    state_->file << line << std::endl;
    if (!state_->file && !std::exchange(state_->failed, true))
      state_->out << "cannot write '" << state_->path.string()
                  << "'; skipped samples are not listed\n";
  }

  std::shared_ptr<State> state_;
};

}  // namespace contrapunto
