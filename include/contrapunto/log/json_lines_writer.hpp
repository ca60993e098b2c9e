// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/step_state.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_file.hpp"

namespace contrapunto {

/// Writes one JSON object per line, at once visible to readers. A number that is not finite becomes
/// null, since JSON has no word for it.
class JsonLinesWriter {
 public:
  /// Without `resume_step` an older file is replaced. With it the lines up to that step stay, later
  /// ones (and a last line that a crash cut off) go, so that the resumed curve has no overlap.
  explicit JsonLinesWriter(std::filesystem::path path,
                           std::optional<std::int64_t> resume_step = std::nullopt)
      : path_(std::move(path)) {
    const bool resume = resume_step && std::filesystem::exists(path_);
    write_file_atomically(path_, resume ? lines_up_to(read_file(path_), *resume_step) : "");
    stream_.open(path_, std::ios::app | std::ios::binary);
    TORCH_CHECK(stream_, "cannot open '", path_.string(), "' to append to it");
  }

  /// One line with every field of `state`, under its own name.
  void write(const StepState& state) {
    write_line({{"step", state.step},
                {"samples", state.samples},
                {"epoch", state.epoch},
                {"loss", state.loss},
                {"lr", state.lr},
                {"scale", state.scale},
                {"gradient_norm", state.gradient_norm},
                {"samples_per_second", state.samples_per_second},
                {"data_wait_fraction", state.data_wait_fraction}});
  }

  /// One line with the step and other numbers, for an evaluation: `write(500, {{"top1", 0.7}})`.
  void write(std::int64_t step, const std::vector<std::pair<std::string, double>>& values) {
    Fields fields{{"step", step}};
    fields.insert(fields.end(), values.begin(), values.end());
    write_line(fields);
  }

 private:
  using Fields = std::vector<std::pair<std::string, nlohmann::json>>;

  /// In the given order: an ordered_json of the library costs a second of compile time.
  void write_line(const Fields& fields) {
    char before = '{';
    for (const auto& [name, value] : fields) {
      stream_ << before << nlohmann::json(name).dump() << ':' << value.dump();
      before = ',';
    }
    stream_ << "}\n" << std::flush;
    TORCH_CHECK(stream_, "cannot write to '", path_.string(), "'; is the disk full?");
  }

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
