// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/step_record.hpp"
#include "contrapunto/log/format.hpp"
#include "contrapunto/log/throughput_meter.hpp"

namespace contrapunto {

/// Returns whether the standard output is a terminal, on which a line can be redrawn.
[[nodiscard]] inline bool stdout_is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

struct ProgressLineOptions {
  std::int64_t total_steps = 0;  ///< Last step of the run; 0 if unknown: no bar and no ETA.
  std::int64_t every = 100;      ///< Number of steps between plain lines.
  bool in_place = false;         ///< Redraw one line, for terminals; see stdout_is_terminal().
  double redraw_seconds = 0.1;   ///< Minimum time between two redraws, in seconds.
  std::int64_t width = 100;  ///< Columns of the terminal; less important fields are dropped to fit.
  std::function<double()> clock = steady_seconds;  ///< Returns seconds, for the ETA.
};

/// A sink of step records that shows the progress of a run: loss, learning rate, scale, gradient
/// norm, samples per second, time spent waiting for data and remaining time, followed by all other
/// values with their names. If the training waits for data, it names the slowest part of the
/// loader. It shows one line that is redrawn in place, or plain lines. Evaluations get a separate
/// line.
class ProgressLine {
 public:
  /// `out` must outlive this object. Raises if `every` is below 1 or `width` is below 20.
  explicit ProgressLine(std::ostream& out, ProgressLineOptions options = {})
      : out_(out), o_(std::move(options)) {
    TORCH_CHECK(o_.every >= 1, "ProgressLine: every must be at least 1 step, got ", o_.every);
    TORCH_CHECK(o_.width >= 20, "ProgressLine: width must be at least 20 columns, got ", o_.width);
  }

  /// Call it after steps for which the numbers are known. The first call, the last step and the
  /// first loss that is not finite are always shown.
  void on_step(const StepRecord& record) {
    const double now = o_.clock();
    const bool first = first_step_ < 0;
    if (first) {
      first_step_ = record.step;
      first_time_ = now;
    }
    const bool broke = !std::isfinite(record.find("loss").value_or(0.0)) && !broken_;
    broken_ = broken_ || broke;
    const bool due = o_.in_place ? now - shown_time_ >= o_.redraw_seconds
                                 : record.step / o_.every > shown_step_ / o_.every;
    if (!first && !broke && !due && record.step != o_.total_steps) return;
    shown_step_ = record.step;
    shown_time_ = now;
    const auto line = render(record, now);
    if (o_.in_place)
      out_ << '\r' << line << "\x1b[K" << std::flush;  // Erases the rest of a longer line.
    else
      out_ << line << std::endl;
    open_ = o_.in_place;
  }

  /// Writes one line with the results of an evaluation. Accuracies and recalls are shown in
  /// percent; see is_percentage().
  void on_evaluation(const StepRecord& record) {
    std::string text = "evaluation after step " + with_commas(record.step) + ":";
    for (const auto& [name, value] : record.values)
      if (name == "epoch")
        text += "  " + field_of(name, value)->text;
      else if (name != "samples")
        text += "  " + name + " " +
                (is_percentage(name) ? as_percent(value, 2) : with_digits(value, 4));
    note(text);
  }

  /// Writes a notice on a separate line. The progress continues below it.
  void note(const std::string& text) {
    if (open_) out_ << "\r\x1b[K";
    out_ << text << std::endl;
    open_ = false;
  }

  /// Ends the line that is redrawn in place, so that later output starts on a new line.
  void finish() {
    if (open_) out_ << std::endl;
    open_ = false;
  }

 private:
  struct Field {
    std::string text;
    int importance;  ///< The least important field is dropped first.
  };

  [[nodiscard]] std::string render(const StepRecord& record, double now) const {
    const bool known = o_.total_steps > 0;
    std::vector<Field> fields;
    fields.push_back({with_commas(record.step) +
                          (known ? "/" + with_commas(o_.total_steps) : " steps") +
                          (known ? " " + as_percent(done(record.step), 1) : ""),
                      9});
    for (const auto& [name, value] : record.values) {
      auto field = field_of(name, value);
      if (field && name == "data_wait_fraction" && value >= kStarving)
        field->text += slowest(record);
      if (field) fields.push_back(*std::move(field));
    }
    if (known) fields.push_back({"ETA " + as_duration(seconds_left(record.step, now)), 7});

    if (!o_.in_place) return joined(fields);
    // Some terminals wrap if the last column is full, so one column is left empty.
    const std::int64_t limit = o_.width - 1;
    const std::int64_t shortest_bar = known ? 10 : 0;
    while (fields.size() > 2 && columns(fields) + 1 + shortest_bar > limit)
      fields.erase(std::min_element(
          fields.begin(), fields.end(),
          [](const Field& a, const Field& b) { return a.importance < b.importance; }));
    auto line = joined(fields);
    line.resize(std::min(line.size(), static_cast<std::size_t>(limit)));
    const auto left = std::min<std::int64_t>(limit - columns(fields) - 1, 40);
    return known && left >= shortest_bar ? bar(done(record.step), left) + " " + line : line;
  }

  /// From this fraction on the line names what the threads of the loader do most of the time.
  static constexpr double kStarving = 0.05;

  /// Returns " (decode)" for a record in which the threads of the loader decode most of the time,
  /// or nothing if the record does not say what they do.
  static std::string slowest(const StepRecord& record) {
    std::string text;
    double most = 0.0;
    for (const char* stage : {"read", "decode", "transform", "tokenize"}) {
      const auto part = record.find("data_" + std::string(stage) + "_fraction");
      if (part.value_or(0.0) > most) most = *part, text = " (" + std::string(stage) + ")";
    }
    return text;
  }

  /// Returns how a value is shown, or nothing for `samples`, which follow from the steps, and for
  /// the work of the loader.
  static std::optional<Field> field_of(const std::string& name, double value) {
    if (name == "samples" || (name.starts_with("data_") && name != "data_wait_fraction"))
      return std::nullopt;
    if (name == "loss" && !std::isfinite(value))
      return Field{"LOSS " + std::string(std::isnan(value) ? "NaN" : "infinite") + "!", 8};
    if (name == "loss") return Field{"loss " + with_decimals(value, 4), 8};
    if (name == "lr") return Field{"lr " + with_digits(value, 3), 5};
    if (name == "scale") return Field{"scale " + with_decimals(value, 2), 4};
    if (name == "gradient_norm") return Field{"grad " + with_digits(value, 3), 3};
    if (name == "epoch") return Field{"epoch " + with_decimals(value, 2), 1};
    if (name == "samples_per_second")
      return Field{with_commas(std::llround(value)) + " samples/s", 6};
    if (name == "data_wait_fraction") return Field{"data wait " + as_percent(value, 0), 2};
    return Field{name + " " + with_digits(value, 4), 0};
  }

  static std::string joined(const std::vector<Field>& fields) {
    std::string line;
    for (const auto& field : fields) line += (line.empty() ? "" : "  ") + field.text;
    return line;
  }

  static std::int64_t columns(const std::vector<Field>& fields) {
    std::int64_t sum = 2 * (static_cast<std::int64_t>(fields.size()) - 1);
    for (const auto& field : fields) sum += static_cast<std::int64_t>(field.text.size());
    return sum;
  }

  [[nodiscard]] double done(std::int64_t step) const {
    return std::clamp(static_cast<double>(step) / static_cast<double>(o_.total_steps), 0.0, 1.0);
  }

  /// Estimated from all time since the first call, including evaluations, because these will recur
  /// too.
  [[nodiscard]] double seconds_left(std::int64_t step, double now) const {
    const auto left = static_cast<double>(std::max<std::int64_t>(o_.total_steps - step, 0));
    if (left == 0) return 0;
    return step > first_step_ ? left * (now - first_time_) / static_cast<double>(step - first_step_)
                              : -1;
  }

  /// Returns a bar of `width` columns, drawn with eighths of a block.
  static std::string bar(double share, std::int64_t width) {
    static constexpr const char* kParts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const auto eighths = static_cast<std::int64_t>(share * static_cast<double>(8 * width));
    std::string text;
    for (std::int64_t i = 0; i < width; ++i) {
      const auto filled = std::clamp<std::int64_t>(eighths - 8 * i, 0, 8);
      text += filled == 8 ? "█" : filled == 0 ? "░" : kParts[filled];
    }
    return text;
  }

  std::ostream& out_;
  ProgressLineOptions o_;
  std::int64_t first_step_ = -1;
  double first_time_ = 0.0;
  std::int64_t shown_step_ = 0;
  double shown_time_ = 0.0;
  bool broken_ = false;
  bool open_ = false;
};

}  // namespace contrapunto
