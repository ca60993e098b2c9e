// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/log/curves_options.hpp"
#include "contrapunto/log/detail/run_gnuplot.hpp"

namespace contrapunto {

namespace detail {

using Curve = std::vector<std::pair<double, double>>;  // Step and value.

/// Reads the numbers of a JSON lines file by name, with their steps. Lines without a step, an
/// incomplete last line, nulls and texts are skipped.
inline std::map<std::string, Curve> read_curves(const std::filesystem::path& path) {
  std::istringstream lines(read_file(path));
  std::map<std::string, Curve> curves;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number()) continue;
    for (const auto& [name, value] : json.items())
      if (value.is_number() && name != "step")
        curves[name].emplace_back(json["step"].get<double>(), value.get<double>());
  }
  return curves;
}

/// Returns at most `most` points, each the mean of neighboring points. More points than pixels
/// would only take longer to draw.
inline Curve thinned(const Curve& curve, std::size_t most) {
  if (curve.size() <= most) return curve;
  Curve result;
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t begin = i * curve.size() / most, end = (i + 1) * curve.size() / most;
    std::pair<double, double> sum{0, 0};
    for (std::size_t j = begin; j < end; ++j) {
      sum.first += curve[j].first;
      sum.second += curve[j].second;
    }
    const auto count = static_cast<double>(end - begin);
    result.emplace_back(sum.first / count, sum.second / count);
  }
  return result;
}

/// Returns the mean over a window of `half` points on either side, fewer at the ends.
inline Curve smoothed(const Curve& curve, std::size_t half) {
  Curve result;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    const std::size_t reach = std::min({half, i, curve.size() - 1 - i});
    double sum = 0;
    for (std::size_t j = i - reach; j <= i + reach; ++j) sum += curve[j].second;
    result.emplace_back(curve[i].first, sum / static_cast<double>(2 * reach + 1));
  }
  return result;
}

/// Quotes a text so that gnuplot takes it literally.
inline std::string gnuplot_text(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) continue;
    quoted += c == '\'' ? "''" : std::string(1, c);
  }
  return quoted + "'";
}

/// One panel of the picture. Several curves may share its axes.
struct Panel {
  std::string title{};
  std::string unit{};
  std::vector<std::string> names{};
  double factor = 1;         ///< Factor from the logged number to the unit.
  bool smooth = false;       ///< Draw the raw curve in a pale color and its running mean above it.
  bool markers = false;      ///< Mark each point, for curves with few points.
  bool from_zero = false;    ///< Start the axis at 0.
  bool logarithmic = false;  ///< Use a logarithmic axis if all values are above 0.
  bool by_epoch = false;     ///< Draw over epochs instead of optimizer steps.
};

/// One curve of a panel.
struct Line {
  std::string title{};
  Curve curve{};
  bool dashed = false;
};

/// Returns whether any value other than 0 was logged under this name.
inline bool is_measured(const std::map<std::string, Curve>& curves, const std::string& name) {
  const auto curve = curves.find(name);
  return curve != curves.end() && std::any_of(curve->second.begin(), curve->second.end(),
                                              [](const auto& point) { return point.second != 0; });
}

/// Returns the panels of the names that the library knows, then one panel for each other name.
inline std::vector<Panel> curve_panels(const std::map<std::string, Curve>& curves) {
  std::vector<Panel> panels{{.title = "Loss", .unit = "nats", .names = {"loss"}, .smooth = true},
                            {.title = "Learning rate", .names = {"lr"}, .from_zero = true},
                            {.title = "Scale (exp of the log temperature)", .names = {"scale"}},
                            {.title = "Gradient norm before clipping",
                             .unit = "L2",
                             .names = {"gradient_norm"},
                             .smooth = true,
                             .logarithmic = true},
                            {.title = "Throughput",
                             .unit = "samples/s",
                             .names = {"samples_per_second"},
                             .smooth = true,
                             .from_zero = true}};
  const Panel percent{.unit = "%", .factor = 100, .markers = true, .from_zero = true};
  Panel accuracy = percent, recall = percent;
  accuracy.title = "Accuracy";
  recall.title = "Recall";
  std::vector<Panel> others;
  for (const auto& [name, _] : curves) {
    const auto is_known = [&](const Panel& panel) { return panel.names.front() == name; };
    if (name.starts_with("loss/"))
      panels.front().names.push_back(name);
    else if (name.ends_with("top1") || name.ends_with("top5"))
      accuracy.names.push_back(name);
    else if (name.find('@') != std::string::npos)
      recall.names.push_back(name);
    else if (name != "samples" && name != "epoch" && !name.starts_with("data_") &&
             std::none_of(panels.begin(), panels.end(), is_known))
      others.push_back({.title = name, .names = {name}, .smooth = true});
  }
  panels.push_back(accuracy);
  panels.push_back(recall);
  panels.insert(panels.end(), others.begin(), others.end());
  std::erase_if(panels, [&](Panel& panel) {
    std::erase_if(panel.names, [&](const auto& name) { return !is_measured(curves, name); });
    return panel.names.empty();
  });
  return panels;
}

/// Returns the values `name` of a series over epochs.
inline Curve evaluation_curve(const EvaluationSeries& series, const std::string& name) {
  Curve curve;
  for (const auto& record : series.records) {
    const auto value = record.find(name), epoch = record.find("epoch");
    if (value && epoch && std::isfinite(*value)) curve.emplace_back(*epoch, *value);
  }
  return curve;
}

/// Returns the panels of evaluations, each with the curves of all series that have its values.
inline std::vector<Panel> evaluation_panels(const std::vector<EvaluationSeries>& series) {
  std::map<std::string, Curve> curves;
  for (const auto& one : series)
    for (const auto& name : one.value_names()) {
      const auto curve = evaluation_curve(one, name);
      curves[name].insert(curves[name].end(), curve.begin(), curve.end());
    }
  auto panels = curve_panels(curves);
  for (auto& panel : panels) {
    panel.by_epoch = panel.markers = true;
    panel.smooth = panel.logarithmic = false;
  }
  return panels;
}

/// Returns the lines of a panel.
inline std::vector<Line> lines_of(const Panel& panel, const std::map<std::string, Curve>& curves,
                                  const std::vector<EvaluationSeries>& series) {
  std::vector<Line> lines;
  for (const auto& name : panel.names) {
    if (!panel.by_epoch) lines.push_back({.title = name, .curve = thinned(curves.at(name), 1500)});
    for (std::size_t i = 0; panel.by_epoch && i < series.size(); ++i) {
      auto curve = evaluation_curve(series[i], name);
      if (!curve.empty())
        lines.push_back({name + (i > 0 ? ", " + series[i].name : ""), std::move(curve), i > 0});
    }
  }
  return lines;
}

/// Removes the evaluations of `series` from curves over steps.
inline void remove_evaluations(std::map<std::string, Curve>& curves,
                               const EvaluationSeries& series) {
  for (const auto& record : series.records)
    for (const auto& [name, value] : record.values)
      if (const auto curve = curves.find(name); curve != curves.end())
        std::erase(curve->second, std::pair(static_cast<double>(record.step), value));
}

inline void append_data(std::ostringstream& script, const std::string& name, const Curve& curve,
                        double factor) {
  script << name << " << EOD\n";
  for (const auto& [step, value] : curve) script << step << ' ' << factor * value << '\n';
  script << "EOD\n";
}

inline void append_panel(std::ostringstream& script, const Panel& panel,
                         const std::vector<Line>& lines) {
  static constexpr std::array<std::pair<const char*, const char*>, 6> kColors{
      {{"#1f6f8b", "#a9cfdb"},
       {"#c8553d", "#ecc0b6"},
       {"#588157", "#c3d6c2"},
       {"#6d597a", "#cbc2d1"},
       {"#b08a2e", "#e3d5ab"},
       {"#707070", "#cccccc"}}};
  std::ostringstream plots;
  bool logarithmic = panel.logarithmic;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto& curve = lines[i].curve;
    for (const auto& point : curve) logarithmic = logarithmic && point.second > 0;
    const auto& [strong, pale] = kColors[i % kColors.size()];
    const auto raw = "$raw" + std::to_string(i), mean = "$mean" + std::to_string(i);
    append_data(script, raw, curve, panel.factor);
    // Without a mean above it, the curve itself is drawn in the strong color.
    const bool with_mean = panel.smooth && curve.size() >= 40;
    const auto title = lines.size() > 1 ? gnuplot_text(lines[i].title) : "''";
    plots << (i > 0 ? ", " : "plot ") << raw << " with "
          << (panel.markers ? "linespoints pt 7 ps 0.9" : "lines") << " lw "
          << (with_mean ? 1 : 2.2) << (lines[i].dashed ? " dt 2" : "") << " lc rgb '"
          << (with_mean ? pale : strong) << "' title " << (with_mean ? "''" : title);
    if (with_mean) {
      append_data(script, mean, smoothed(curve, std::max<std::size_t>(curve.size() / 60, 2)),
                  panel.factor);
      plots << ", " << mean << " with lines lw 2.2 lc rgb '" << strong << "' title " << title;
    }
  }
  script << "unset logscale\nset autoscale\nset key bottom right noenhanced\n"
         << (logarithmic ? "set logscale y\n" : "") << (panel.from_zero ? "set yrange [0:]\n" : "")
         << "set xlabel '" << (panel.by_epoch ? "epoch" : "optimizer step")
         << "' tc rgb '#404040'\n"
         << "set title " << gnuplot_text(panel.title) << " font ',13'\nset ylabel "
         << gnuplot_text(panel.unit) << "\n"
         << plots.str() << "\n";
}

inline std::string curves_script(const std::map<std::string, Curve>& curves,
                                 const std::vector<Panel>& panels, const CurvesOptions& options) {
  const std::size_t columns = panels.size() == 1 ? 1 : 2;
  const std::size_t rows = (panels.size() + columns - 1) / columns;
  std::ostringstream script;
  script.precision(12);
  script << "set terminal pngcairo noenhanced background '#ffffff' font 'DejaVu Sans,11' size "
         << options.panel_width * static_cast<std::int64_t>(columns) << ','
         << options.panel_height * static_cast<std::int64_t>(rows) + 40
         << "\nset border 3 lc rgb '#808080'\nset tics nomirror tc rgb '#404040'\n"
         << "set grid lt 1 lw 1 lc rgb '#dddddd'\n"
         << "set ylabel tc rgb '#404040'\nset format x '%.10g'\nset format y '%.4g'\n"
         << "set xtics autofreq\nset lmargin 11\nset rmargin 3\n"
         << "set multiplot layout " << rows << ',' << columns;
  if (!options.title.empty())
    script << " title " << gnuplot_text(options.title) << " font ',15' noenhanced";
  script << "\n";
  for (const auto& panel : panels)
    append_panel(script, panel, lines_of(panel, curves, options.evaluations));
  script << "unset multiplot\n";
  return script.str();
}

}  // namespace detail

/// Plots the file of a `JsonLinesWriter` as a PNG. There is a panel each for the loss and its
/// parts, learning rate, scale, gradient norm, throughput, accuracies (names that end in "top1" or
/// "top5"), recalls (names that contain "@") and every other value, if they were logged. The curves
/// of CurvesOptions::evaluations are drawn over epochs. Returns false and writes nothing if the
/// program gnuplot is not installed (Debian: gnuplot-nox), so that a run does not fail at its end.
/// Raises if the file has no numbers and if gnuplot fails.
[[nodiscard]] inline bool write_curves(const std::filesystem::path& jsonl,
                                       const std::filesystem::path& png,
                                       const CurvesOptions& options = {}) {
  auto curves = detail::read_curves(jsonl);
  if (!options.evaluations.empty()) detail::remove_evaluations(curves, options.evaluations.front());
  auto panels = detail::curve_panels(curves);
  const auto evaluated = detail::evaluation_panels(options.evaluations);
  panels.insert(panels.end(), evaluated.begin(), evaluated.end());
  TORCH_CHECK(!panels.empty(), "write_curves: '", jsonl.string(),
              "' has no numbers to plot; it needs lines such as {\"step\": 1, \"loss\": 2.5}");
  const auto picture =
      detail::run_gnuplot(options.gnuplot, detail::curves_script(curves, panels, options));
  if (!picture) return false;
  TORCH_CHECK(
      picture->starts_with("\x89PNG"), "write_curves: '", options.gnuplot,
      "' did not write a PNG; does it have the terminal pngcairo? (apt install gnuplot-nox)");
  write_file_atomically(png, *picture);
  return true;
}

}  // namespace contrapunto
