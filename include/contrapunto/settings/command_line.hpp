// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_CLI
#error "contrapunto/settings/command_line.hpp needs CLI11: use the component cli (contrapunto::cli)"
#endif

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <exception>
#include <set>
#include <string>
#include <vector>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// Sets the settings in the TOML file `path`: `batch-size = 256`, one setting per line, with
/// comments after '#'. The file is read by CLI11, whose reader does not allow a '#' within a text
/// and needs every array on one line. Raises CLI::FileError if the file does not exist. Raises
/// CLI::ValidationError with the file and the setting for a name that the table does not have, a
/// name that occurs twice, and a value that its setting does not accept.
inline void read_settings_file(const std::string& path, SettingsTable& table) {
  const auto refuse = [&](const std::string& message) {
    throw CLI::ValidationError("settings file '" + path + "': " + message);
  };
  std::set<std::string> seen;
  for (const auto& item : CLI::ConfigTOML().from_file(path)) {
    if (item.name == "++" || item.name == "--") continue;  // CLI11's markers around a section.
    if (item.fullname().find('"') != std::string::npos)
      refuse("'" + item.fullname() + "' is no setting; an array must stand on one line");
    if (!item.parents.empty())
      refuse(
          "'" + item.fullname() +
          "' is in a section; write the settings without sections, and use comments to group them");
    auto* const setting = table.find(item.name);
    if (setting == nullptr) {
      auto dashed = item.name;
      std::replace(dashed.begin(), dashed.end(), '_', '-');
      refuse("there is no setting '" + item.name + "'" +
             (table.find(dashed) != nullptr ? "; write '" + dashed + "'" : "; see --help"));
    }
    if (!seen.insert(item.name).second) refuse("'" + item.name + "' comes twice");
    for (const auto& value : item.inputs)
      if (value.starts_with('"') || value.starts_with('\''))
        refuse(item.name + " is " + value + "; its quotes do not match, or it contains a '#'");
    try {
      setting->set(item.inputs);
    } catch (const std::exception& error) {
      refuse(error_text(error));
    }
  }
}

/// Adds an option `--name` to `app` for every setting of `table`, and `--config FILE`, which reads
/// settings from a TOML file (see read_settings_file). Options on the command line override the
/// file. Switches are `--name` and `--no-name`, and lists take any number of values. The help has
/// the sections of the table and shows the defaults. Invalid values raise CLI::ValidationError
/// while `app` parses. `table` must outlive `app`.
inline void add_to_command_line(CLI::App& app, SettingsTable& table) {
  // CLI11 runs callbacks in the order in which options were added, so the file comes first.
  app.add_option("--config", CLI::callback_t([&table](const CLI::results_t& paths) {
                   read_settings_file(paths.front(), table);
                   return true;
                 }),
                 "TOML file with settings; options on the command line override it")
      ->type_name("FILE");
  for (auto& setting : table.settings()) {
    const auto set = [&setting](const std::vector<std::string>& values) {
      try {
        setting.set(values);
      } catch (const std::exception& error) {
        throw CLI::ValidationError(error_text(error));
      }
    };
    CLI::Option* option = nullptr;
    if (setting.holds<bool>()) {
      const auto flag = std::function<void(std::int64_t)>(
          [set](std::int64_t count) { set({count > 0 ? "true" : "false"}); });
      option = app.add_flag_function("--" + setting.name() + ",!--no-" + setting.name(), flag,
                                     setting.help());
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
      if (setting.default_text() == "true") option->description(setting.help() + " [on]");
    } else {
      const CLI::callback_t callback = [set](const CLI::results_t& values) {
        set(values);
        return true;
      };
      option = app.add_option("--" + setting.name(), callback, setting.help());
      const bool whole = setting.holds<std::int64_t>() || setting.holds<std::uint64_t>();
      option->type_name(whole ? "INT" : setting.holds<double>() ? "NUMBER" : "TEXT");
      if (setting.holds<std::vector<std::string>>())
        option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args();
      option->default_str(setting.default_text());
    }
    option->group(setting.section());
  }
}

}  // namespace contrapunto
