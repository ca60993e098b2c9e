// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

namespace detail {

[[nodiscard]] inline nlohmann::json setting_json(const Setting& setting) {
  return std::visit([](const auto* value) { return nlohmann::json(*value); }, setting.variable());
}

/// Formats a value for a message: a text as it is, "empty" for an empty text, anything else as
/// JSON.
[[nodiscard]] inline std::string shown(const nlohmann::json& value) {
  if (!value.is_string()) return value.dump();
  const auto text = value.get<std::string>();
  return text.empty() ? "empty" : text;
}

}  // namespace detail

/// Returns all settings and their values as a JSON object, to be stored with the results of a run.
[[nodiscard]] inline nlohmann::json to_json(const SettingsTable& table) {
  auto json = nlohmann::json::object();
  for (const auto& setting : table.settings()) json[setting.name()] = detail::setting_json(setting);
  return json;
}

/// Compares `earlier`, made by to_json() in the run that is to be resumed, with the current
/// settings. Returns a line such as "batch-size was 64, is 128" for each difference in a setting
/// that must not change silently. A setting that the earlier run did not record counts as different
/// unless it has its default value. Raises if `earlier` is not a JSON object.
[[nodiscard]] inline std::vector<std::string> setting_differences(const SettingsTable& table,
                                                                  const nlohmann::json& earlier) {
  TORCH_CHECK(earlier.is_object(), "setting_differences: the settings of the earlier run are ",
              earlier.type_name(), ", expected a JSON object as made by to_json()");
  std::vector<std::string> lines;
  for (const auto& setting : table.settings()) {
    if (!setting.fixed()) continue;
    const auto now = detail::setting_json(setting);
    const auto found = earlier.find(setting.name());
    if (found == earlier.end()) {
      if (setting.text() != setting.default_text())
        lines.push_back(setting.name() + " was not recorded, is " + detail::shown(now));
    } else if (*found != now) {
      lines.push_back(setting.name() + " was " + detail::shown(*found) + ", is " +
                      detail::shown(now));
    }
  }
  for (const auto& item : earlier.items())
    if (table.find(item.key()) == nullptr)
      lines.push_back(item.key() + " was " + detail::shown(item.value()) +
                      ", and this program has no such setting");
  return lines;
}

/// Writes to_json() of `table` to the file `path`, to be stored with the results of a run.
inline void write_settings(const std::filesystem::path& path, const SettingsTable& table) {
  write_file_atomically(path, to_json(table).dump(2) + "\n");
}

/// Returns setting_differences() from the settings in the file `path` that write_settings() wrote,
/// and none for an empty path, which stands for a new run. A missing file counts as one difference,
/// because the earlier settings are then unknown. Raises if the file is not JSON.
[[nodiscard]] inline std::vector<std::string> setting_differences(
    const SettingsTable& table, const std::filesystem::path& path) {
  if (path.empty()) return {};
  if (!std::filesystem::is_regular_file(path))
    return {"'" + path.string() + "' with the earlier settings is missing"};
  const auto json = nlohmann::json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(!json.is_discarded(), "setting_differences: '", path.string(), "' is not JSON");
  return setting_differences(table, json);
}

}  // namespace contrapunto
