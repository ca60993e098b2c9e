// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/io/detail/zip.hpp"

// Writes the files of torch.save byte by byte, without LibTorch, so that tests can also write
// faulty ones.
namespace contrapunto::test {

inline std::string little(std::uint64_t number, int bytes) {
  std::string result;
  for (int i = 0; i < bytes; ++i) {
    result += static_cast<char>(number & 0xFFU);
    number >>= 8;
  }
  return result;
}

/// A zip archive without compression. With `zip64` the sizes are in the extra fields and the list
/// is found through the 64-bit records.
inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& parts,
                          bool zip64 = false) {
  std::string file, list;
  for (const auto& [name, content] : parts) {
    const auto crc = little(contrapunto::detail::crc32_of(content), 4);
    const auto size = little(content.size(), 4);
    const auto offset = file.size();
    const std::string padding = "FB" + little(3, 2) + "ZZZ";
    file += "PK\x03\x04" + little(0x0808'0000, 6) + little(0, 4) + crc + size + size +
            little(name.size(), 2) + little(padding.size(), 2) + name + padding + content;
    const auto extra = zip64 ? little(1, 2) + little(24, 2) + little(content.size(), 8) +
                                   little(content.size(), 8) + little(offset, 8)
                             : std::string();
    const auto unknown = little(0xFFFFFFFF, 4);
    list += "PK\x01\x02" + little(0, 4) + little(0x0808, 2) + little(0, 2) + little(0, 4) + crc +
            (zip64 ? unknown + unknown : size + size) + little(name.size(), 2) +
            little(extra.size(), 2) + little(0, 10) + (zip64 ? unknown : little(offset, 4)) + name +
            extra;
  }
  const auto begin = file.size();
  file += list;
  const auto end64 = file.size();
  if (zip64)
    file += "PK\x06\x06" + little(44, 8) + little(0, 12) + little(parts.size(), 8) +
            little(parts.size(), 8) + little(list.size(), 8) + little(begin, 8) + "PK\x06\x07" +
            little(0, 4) + little(end64, 8) + little(1, 4);
  return file + "PK\x05\x06" + little(0, 4) + little(zip64 ? 0xFFFF : parts.size(), 2) +
         little(zip64 ? 0xFFFF : parts.size(), 2) + little(zip64 ? 0xFFFFFFFF : list.size(), 4) +
         little(zip64 ? 0xFFFFFFFF : begin, 4) + little(0, 2);
}

inline std::string pickle_text(const std::string& text) {
  return "X" + little(text.size(), 4) + text;
}
inline std::string pickle_name(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string pickle_number(std::int64_t number) {
  return "\x8A\x08" + little(static_cast<std::uint64_t>(number), 8);
}
inline std::string pickle_tuple(const std::vector<std::int64_t>& numbers) {
  std::string result = "(";
  for (const auto number : numbers) result += pickle_number(number);
  return result + "t";
}
inline std::string pickle_storage(const std::string& type, const std::string& key,
                                  std::int64_t elements) {
  return "(" + pickle_text("storage") + pickle_name("torch", type) + pickle_text(key) +
         pickle_text("cpu") + pickle_number(elements) + "tQ";
}
inline std::string pickle_tensor(const std::string& storage, std::int64_t offset,
                                 const std::vector<std::int64_t>& sizes,
                                 const std::vector<std::int64_t>& strides) {
  return pickle_name("torch._utils", "_rebuild_tensor_v2") + "(" + storage + pickle_number(offset) +
         pickle_tuple(sizes) + pickle_tuple(strides) + "\x89" +
         pickle_name("collections", "OrderedDict") + ")RtR";
}
/// A dictionary of texts with pickled values.
inline std::string pickle_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string result = "}(";
  for (const auto& [name, value] : items) result += pickle_text(name) + value;
  return result + "u";
}
inline std::string pickle_of(const std::string& value) {
  return "\x80\x02" + value + ".";
}

/// The file of a pickled value, with the contents of its storages "0", "1" and so on.
inline std::string torch_file(const std::string& value, const std::vector<std::string>& storages,
                              bool zip64 = false) {
  std::vector<std::pair<std::string, std::string>> parts = {{"archive/data.pkl", pickle_of(value)},
                                                            {"archive/byteorder", "little"}};
  for (std::size_t i = 0; i < storages.size(); ++i)
    parts.emplace_back("archive/data/" + std::to_string(i), storages[i]);
  parts.emplace_back("archive/version", "3\n");
  return zip_of(parts, zip64);
}

/// One of each thing that a checkpoint has: tensors that share a storage, a transposed one, one
/// without elements, a parameter, numbers of every length and lists.
inline std::string checkpoint_value() {
  const auto storage = pickle_storage("FloatStorage", "0", 6);
  const auto whole = pickle_tensor(storage, 0, {2, 3}, {3, 1});
  const auto state = pickle_name("collections", "OrderedDict") + ")Rq\x05(" +
                     pickle_text("module.a") + whole + pickle_text("module.b") +
                     pickle_tensor(storage, 1, {2, 2}, {1, 3}) + pickle_text("module.c") +
                     pickle_tensor(pickle_storage("LongStorage", "1", 0), 0, {0, 4}, {4, 1}) +
                     pickle_text("module.d") + pickle_name("torch._utils", "_rebuild_parameter") +
                     "(" + pickle_tensor(pickle_storage("BoolStorage", "2", 3), 0, {3}, {1}) +
                     "\x88}tR" + "u" + pickle_dict({{"_metadata", "h\x05"}}) + "b";
  return pickle_dict({{"epoch", "K\x03"},
                      {"args",
                       "](K\x01M\x02\x01J\xFF\xFF\xFF\xFF\x8A\x01\x80"
                       "eN\x85"
                       "a"},
                      {"rate", "G" + little(0, 8)},
                      {"nothing", "N\x88\x86"},
                      {"state_dict", state}});
}

}  // namespace contrapunto::test
