// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <concepts>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/settings/setting.hpp"

namespace contrapunto {

/// The settings of a program, each described once. The command line, the TOML file, config.json,
/// the comparison between ranks and the comparison with an earlier run are all derived from this
/// table.
///
///   SettingsTable table;
///   table.section("Data");
///   table.add("batch-size", s.batch_size, "pairs in one optimizer step").check(at_least(2));
///   table.add("threads", s.threads, "decoding threads").may_change();
///
/// The table refers to the variables, which must outlive it. Their values when they are added
/// become the defaults.
class SettingsTable {
 public:
  /// Starts a section, which groups the following settings in the help.
  void section(std::string name) { section_ = std::move(name); }

  /// Adds the setting that `variable` holds. `name` is written as on the command line, without
  /// leading dashes. `help` states the meaning and the unit. The returned reference stays valid.
  /// Raises for a name that is already in use or has characters other than a-z, 0-9 and '-'.
  template <class T>
  Setting& add(std::string name, T& variable, std::string help) {
    static_assert(std::constructible_from<Setting::Variable, T*>,
                  "SettingsTable::add: a setting is a bool, std::int64_t, std::uint64_t, double, "
                  "std::string or std::vector<std::string>");
    return add(std::move(name), Setting::Variable(&variable), std::move(help));
  }

  /// Returns the setting `name`, or null.
  [[nodiscard]] Setting* find(std::string_view name) {
    for (auto& setting : settings_)
      if (setting.name() == name) return &setting;
    return nullptr;
  }
  [[nodiscard]] const Setting* find(std::string_view name) const {
    return const_cast<SettingsTable*>(this)->find(name);
  }

  /// All settings, in the order in which they were added.
  [[nodiscard]] std::deque<Setting>& settings() { return settings_; }
  [[nodiscard]] const std::deque<Setting>& settings() const { return settings_; }

 private:
  Setting& add(std::string name, Setting::Variable variable, std::string help) {
    const bool valid =
        !name.empty() && name.front() != '-' &&
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
    TORCH_CHECK(valid, "SettingsTable: the name '", name,
                "' must consist of lowercase letters, digits and '-', and must not begin with '-'");
    TORCH_CHECK(find(name) == nullptr, "SettingsTable: there are two settings named '", name, "'");
    return settings_.emplace_back(std::move(name), section_, variable, std::move(help));
  }

  std::deque<Setting> settings_;
  std::string section_ = "Settings";
};

/// Returns the names and values of the settings that affect the result of the run, in order. All
/// ranks must agree on them.
[[nodiscard]] inline std::vector<std::pair<std::string, std::string>> setting_values(
    const SettingsTable& table) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& setting : table.settings())
    if (setting.fixed()) all.emplace_back(setting.name(), setting.text());
  return all;
}

}  // namespace contrapunto
