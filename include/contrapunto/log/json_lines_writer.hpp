// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "contrapunto/core/step_record.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_file.hpp"

namespace contrapunto {

/// A sink of step records that writes one JSON object per line, which readers can see at once. A
/// number that is not finite becomes null, because JSON cannot represent it.
class JsonLinesWriter {
 public:
  /// If `resume_step` is 0, an older file is replaced. Otherwise the lines up to that step are
  /// kept. Later lines, and an incomplete last line after a crash, are removed, so that a resumed
  /// curve does not overlap. Raises if the file cannot be opened.
  explicit JsonLinesWriter(std::filesystem::path path, std::int64_t resume_step = 0)
      : path_(std::move(path)) {
    const bool resume = resume_step > 0 && std::filesystem::exists(path_);
    write_file_atomically(path_, resume ? lines_up_to(read_file(path_), resume_step) : "");
    stream_.open(path_, std::ios::app | std::ios::binary);
    TORCH_CHECK(stream_, "cannot open '", path_.string(), "' to append to it");
  }

  /// Writes one line with the step and the values of `record`, in their order. Raises if writing
  /// fails.
  void on_step(const StepRecord& record) {
    stream_ << "{\"step\":" << record.step;
    for (const auto& [name, value] : record.values)
      stream_ << ',' << nlohmann::json(name).dump() << ':' << nlohmann::json(value).dump();
    stream_ << "}\n" << std::flush;
    TORCH_CHECK(stream_, "cannot write to '", path_.string(), "'; is the disk full?");
  }

  /// Writes the results of an evaluation in the same way.
  void on_evaluation(const StepRecord& record) { on_step(record); }

 private:
  static std::string lines_up_to(const std::string& text, std::int64_t step) {
    std::istringstream lines(text);
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!json.is_object()) continue;
      const auto found = json.find("step");
      if (found == json.end() || !found->is_number() || found->get<double>() <= double(step))
        kept += line + '\n';
    }
    return kept;
  }

  std::filesystem::path path_;
  std::ofstream stream_;
};

}  // namespace contrapunto
