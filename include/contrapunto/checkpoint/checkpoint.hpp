// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/io/atomic_directory.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/version.hpp"

namespace contrapunto {

/// The format of checkpoints that this version writes. It is also the only format that it reads.
inline constexpr std::int64_t kCheckpointFormat = 1;

namespace detail {

inline constexpr const char* kCheckpointTensors = "state.safetensors";
inline constexpr const char* kCheckpointScalars = "state.json";

inline nlohmann::json scalar_to_json(const State::Scalar& scalar) {
  if (const auto* real = std::get_if<double>(&scalar); real != nullptr && !std::isfinite(*real))
    return {{"double", std::isnan(*real) ? "nan" : *real > 0 ? "inf" : "-inf"}};  // Not in JSON.
  return std::visit([](const auto& value) { return nlohmann::json(value); }, scalar);
}

inline State::Scalar scalar_from_json(const nlohmann::json& json, const std::string& where) {
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  const auto special = json.is_object() ? json.value("double", "") : std::string();
  TORCH_CHECK(special == "nan" || special == "inf" || special == "-inf", where,
              " is neither a number nor a text: ", json.dump());
  if (special == "nan") return std::numeric_limits<double>::quiet_NaN();
  return (special == "inf" ? 1 : -1) * std::numeric_limits<double>::infinity();
}

/// Reads and checks state.json of the checkpoint `path`: the format is right, all parts exist, and
/// the tensor file has the length that it had when it was written. `parts` holds the scalars by
/// part.
inline nlohmann::json read_checkpoint_json(const std::filesystem::path& path) {
  const auto where = "checkpoint '" + path.string() + "': ";
  TORCH_CHECK(std::filesystem::is_directory(path), where, "there is no such folder");
  for (const auto* name : {kCheckpointScalars, kCheckpointTensors})
    TORCH_CHECK(std::filesystem::is_regular_file(path / name), where, name,
                " is missing, so the checkpoint is incomplete or this is not a checkpoint");
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(read_file(path / kCheckpointScalars));
  } catch (const nlohmann::json::exception& error) {
    TORCH_CHECK(false, where, kCheckpointScalars, " is damaged: ", error.what());
  }
  TORCH_CHECK(json.is_object() && json.contains("format") && json["format"].is_number_integer(),
              where, kCheckpointScalars, " does not name a format");
  const auto format = json["format"].get<std::int64_t>();
  TORCH_CHECK(format == kCheckpointFormat, where, "is of format ", format, ", but this library (",
              kVersion, ") reads format ", kCheckpointFormat,
              json.contains("library") ? "; it was written by " + json["library"].dump() : "");
  TORCH_CHECK(json.contains("parts") && json["parts"].is_object() &&
                  json.contains("tensor_bytes") && json["tensor_bytes"].is_number_unsigned(),
              where, kCheckpointScalars, " is damaged: parts or tensor_bytes are missing");
  // Checkpoints of earlier versions have no checksums.
  const bool has_checksums = json.contains("parts_checksum") || json.contains("tensor_checksum");
  TORCH_CHECK(
      !has_checksums || (json.contains("parts_checksum") && json.contains("tensor_checksum") &&
                         json["tensor_checksum"].is_number_unsigned()),
      where, kCheckpointScalars,
      " is damaged: one of its two checksums is missing; go on from another checkpoint");
  TORCH_CHECK(!has_checksums || json["parts_checksum"] == checksum_of(json["parts"].dump()), where,
              kCheckpointScalars,
              " is damaged: its numbers are not those that were written; go on from another "
              "checkpoint");
  const auto expected = json["tensor_bytes"].get<std::uint64_t>();
  const auto bytes = std::filesystem::file_size(path / kCheckpointTensors);
  TORCH_CHECK(bytes == expected, where, kCheckpointTensors, " has ", bytes, " bytes instead of ",
              expected, "; it was truncated or replaced");
  return json;
}

inline std::map<std::string, State::Scalar> part_scalars(const nlohmann::json& part,
                                                         const std::string& where) {
  TORCH_CHECK(part.is_object(), where, " is not an object");
  std::map<std::string, State::Scalar> scalars;
  for (const auto& [name, value] : part.items())
    scalars[name] = scalar_from_json(value, where + ", scalar '" + name + "'");
  return scalars;
}

}  // namespace detail

/// Writes the named parts of a run to the folder `path`: `state.safetensors` (tensors named
/// `part/name`) and `state.json` (numbers and texts). The write is atomic: after a crash the folder
/// is the older one or does not exist. The bytes depend only on `states` and the library version.
/// Raises if the name of a part contains '/' and if a name or text is not valid UTF-8.
inline void save_checkpoint(const std::filesystem::path& path,
                            const std::map<std::string, State>& states) {
  TensorMap tensors;
  auto parts = nlohmann::json::object();
  for (const auto& [part, state] : states) {
    TORCH_CHECK(part.find('/') == std::string::npos, "save_checkpoint('", path.string(),
                "'): the part's name '", part, "' must not contain '/'");
    for (const auto& [name, tensor] : state.tensors) tensors.emplace(part + "/" + name, tensor);
    parts[part] = nlohmann::json::object();
    for (const auto& [name, scalar] : state.scalars)
      parts[part][name] = detail::scalar_to_json(scalar);
  }
  AtomicDirectory directory(path);
  const auto checksum = write_safetensors(directory.path() / detail::kCheckpointTensors, tensors);
  nlohmann::json json{
      {"format", kCheckpointFormat},
      {"library", "contrapunto " + std::string(kVersion)},
      {"parts", parts},
      {"tensor_checksum", checksum},
      {"tensor_bytes", std::filesystem::file_size(directory.path() / detail::kCheckpointTensors)}};
  std::string text;
  try {
    json["parts_checksum"] = checksum_of(parts.dump());
    text = json.dump(1) + "\n";
  } catch (const nlohmann::json::exception& error) {
    TORCH_CHECK(false, "save_checkpoint('", path.string(),
                "'): a name or a text is not valid UTF-8: ", error.what());
  }
  write_file_atomically(directory.path() / detail::kCheckpointScalars, text);
  directory.commit();
}

/// Returns the parts that `save_checkpoint` wrote, bit for bit, with tensors on the CPU. Raises if
/// something is missing, was cut off, was changed or has another format; the message names the
/// folder, the file and the remedy.
[[nodiscard]] inline std::map<std::string, State> load_checkpoint(
    const std::filesystem::path& path) {
  const auto json = detail::read_checkpoint_json(path);
  std::map<std::string, State> states;
  for (const auto& [part, scalars] : json["parts"].items())
    states[part].scalars =
        detail::part_scalars(scalars, "checkpoint '" + path.string() + "': part '" + part + "'");
  std::optional<std::uint64_t> checksum;
  if (json.contains("tensor_checksum")) checksum = json["tensor_checksum"].get<std::uint64_t>();
  TensorMap tensors;
  try {
    tensors = read_safetensors(path / detail::kCheckpointTensors, checksum);
  } catch (const c10::Error& error) {
    TORCH_CHECK(false, "checkpoint '", path.string(), "': ", detail::kCheckpointTensors,
                " is damaged: ", error.what_without_backtrace(), "; go on from another checkpoint");
  }
  for (const auto& [name, tensor] : tensors) {
    const auto slash = name.find('/');
    const auto state = states.find(name.substr(0, slash));
    TORCH_CHECK(slash != std::string::npos && state != states.end(), "checkpoint '", path.string(),
                "': tensor '", name, "' belongs to no part of ", detail::kCheckpointScalars);
    state->second.tensors.emplace(name.substr(slash + 1), tensor);
  }
  return states;
}

/// Returns what is wrong with the checkpoint `path`, or an empty text if load_checkpoint() can load
/// it. It reads and checks every byte.
[[nodiscard]] inline std::string checkpoint_problem(const std::filesystem::path& path) {
  try {
    static_cast<void>(load_checkpoint(path));
    return {};
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::filesystem::filesystem_error& error) {  // Removed in the meantime.
    return error.what();
  }
}

/// Returns the part `name`. Raises if there is none; the message lists the existing parts.
[[nodiscard]] inline const State& checkpoint_part(const std::map<std::string, State>& parts,
                                                  const std::string& name) {
  const auto found = parts.find(name);
  if (found == parts.end()) {
    std::string have;
    for (const auto& [part, _] : parts) have += (have.empty() ? "" : ", ") + part;
    TORCH_CHECK(false, "the checkpoint has no part '", name, "'; it has: ", have,
                ". Resume with the settings it was written with");
  }
  return found->second;
}

}  // namespace contrapunto
