// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/step_record.hpp"
#include "contrapunto/log/evaluation_csv.hpp"
#include "contrapunto/log/evaluation_series.hpp"
#include "contrapunto/log/format.hpp"

namespace contrapunto {

/// A sink of evaluations that keeps all of a run in a CSV file of epochs, samples, steps and
/// values, and prints and draws them as a series over epochs, beside those of other runs. The file
/// is replaced as a whole after each evaluation. It needs records with "epoch" and "samples", as
/// RunLength::record() makes them.
///
///   EvaluationTable evaluations(folder / "evaluations.csv", progress.step, {"runs/other"});
///   notify_evaluation(run.record(progress).add("top1", top1), evaluations);
///   std::cout << evaluations.text();
class EvaluationTable {
 public:
  /// If `resume_step` is 0, an older file is removed. Otherwise its evaluations up to that step are
  /// kept and later ones are removed. `compare` are the series to compare with; see
  /// read_evaluations(). Raises if a file cannot be read.
  explicit EvaluationTable(std::filesystem::path path, std::int64_t resume_step = 0,
                           const std::vector<std::string>& compare = {})
      : path_(std::move(path)), series_(1) {
    for (const auto& other : compare) series_.push_back(read_evaluations(other));
    auto& records = series_.front().records;
    if (std::filesystem::exists(path_)) {
      if (resume_step > 0) records = read_evaluations(path_).records;
      std::erase_if(records, [&](const auto& record) { return record.step > resume_step; });
      if (records.empty())
        std::filesystem::remove(path_);
      else
        write_evaluations(path_, series_.front());
    }
    series_.front().name = "this run";
  }

  /// Adds the results of an evaluation and writes the file. A second evaluation after the same step
  /// adds its values to those of the first, and replaces those with the same name. Raises if the
  /// record has no epoch or no samples, and if the file cannot be written.
  void on_evaluation(const StepRecord& record) {
    TORCH_CHECK(record.find("epoch") && record.find("samples"),
                "EvaluationTable: the record of step ", record.step,
                " has no 'epoch' or no 'samples'; RunLength::record() has both");
    auto& records = series_.front().records;
    if (records.empty() || records.back().step != record.step) {
      records.push_back(record);
    } else {
      auto& earlier = records.back().values;
      for (const auto& value : record.values) {
        const auto same = std::find_if(earlier.begin(), earlier.end(),
                                       [&](const auto& one) { return one.first == value.first; });
        if (same == earlier.end())
          earlier.push_back(value);
        else
          *same = value;
      }
    }
    write_evaluations(path_, series_.front());
  }

  /// The series of this run, which may be empty, and those to compare with.
  [[nodiscard]] const std::vector<EvaluationSeries>& series() const { return series_; }

  /// Returns a line for each measured value and series, such as
  /// "top1 in % by epoch, this run: 1: 15.4, 2: 36.0, 3: 48.2". It is empty before the first
  /// evaluation.
  [[nodiscard]] std::string text() const {
    std::string lines;
    if (series_.front().records.empty()) return lines;
    for (const auto& name : names()) {
      for (const auto& one : series_) {
        std::string numbers;
        for (const auto& record : one.records) {
          const auto value = record.find(name);
          if (!value) continue;
          numbers +=
              (numbers.empty() ? " " : ", ") + with_digits(*record.find("epoch"), 5) + ": " +
              (is_percentage(name) ? with_decimals(100 * *value, 1) : with_digits(*value, 4));
        }
        if (!numbers.empty())
          lines += name + (is_percentage(name) ? " in %" : "") + " by epoch, " + one.name + ":" +
                   numbers + "\n";
      }
    }
    return lines;
  }

 private:
  /// Names of the values of all series.
  [[nodiscard]] std::vector<std::string> names() const {
    EvaluationSeries all;
    for (const auto& one : series_)
      all.records.insert(all.records.end(), one.records.begin(), one.records.end());
    return all.value_names();
  }

  std::filesystem::path path_;
  std::vector<EvaluationSeries> series_;  // The first is that of this run.
};
static_assert(RecordSink<EvaluationTable>);

}  // namespace contrapunto
