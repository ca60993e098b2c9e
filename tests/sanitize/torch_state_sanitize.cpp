// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Feeds the reader of torch.save's files every truncation of small files and thousands of bit
// flips, in the archive and in its pickle alone, which the checksum would otherwise protect. It may
// refuse a file, but only by DataError; the sanitizers detect everything else.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "contrapunto/io/detail/torch_archive.hpp"
#include "io/torch_file.hpp"
#include "sanitize/damage.hpp"

namespace {

using namespace contrapunto;
using namespace contrapunto::test;

/// Reads the first and the last byte of every tensor.
void read_archive(const std::string& bytes) {
  // A buffer of exactly the right size: std::string keeps a zero behind its text.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  const contrapunto::detail::ByteSource file{
      .size = exact.size(), .read = [&](std::uint64_t offset, char* to, std::size_t count) {
        if (count > 0) std::memcpy(to, exact.data() + offset, count);
      }};
  const auto archive = contrapunto::detail::read_torch_archive(file);
  std::map<std::string, std::vector<char>> parts;
  for (const auto& [name, part] : archive->parts) {
    auto& content = parts[name];
    content.resize(part.size);
    contrapunto::detail::read_zip(file, archive->folder + "data/" + name, part, content.data());
  }
  for (const auto& [name, tensor] : archive->tensors) {
    std::int64_t last = tensor.offset, elements = 1;
    for (std::size_t d = 0; d < tensor.sizes.size(); ++d) {
      elements *= tensor.sizes[d];
      last += (tensor.sizes[d] - 1) * tensor.strides[d];
    }
    if (elements == 0) continue;
    const auto& content = parts.at(std::string(tensor.storage));
    const auto width = static_cast<std::size_t>(tensor.element_bytes);
    std::vector<char> element(width);
    for (const auto index : {tensor.offset, last})
      std::memcpy(element.data(), content.data() + width * static_cast<std::size_t>(index), width);
  }
}

void read_pickle(const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  static_cast<void>(
      contrapunto::detail::TorchPickle({exact.data(), exact.size()}).state().begin()->second);
}

}  // namespace

int main() {
  const std::vector<std::string> storages = {std::string(24, 'x'), "", std::string(3, 1)};
  const auto plain = torch_file(checkpoint_value(), storages);
  struct Case {
    const char* name;
    std::string bytes;
    void (*reader)(const std::string&);
  };
  const std::vector<Case> cases = {
      {"archive", plain, read_archive},
      {"zip64 archive", torch_file(checkpoint_value(), storages, /*zip64=*/true), read_archive},
      {"pickle", pickle_of(checkpoint_value()), read_pickle},
      {"pickle of one tensor",
       pickle_of(pickle_dict({{"a", pickle_tensor(pickle_storage("HalfStorage", "0", 60), 3,
                                                  {2, 3, 4}, {12, 4, 1})}})),
       read_pickle}};
  bool good = true;
  for (const Case& one : cases) {
    const Counts counts = damage(one.bytes, 20000, one.reader);
    // Both must occur: some files are refused, and some are read.
    const bool plausible = counts.accepted > 0 && counts.refused > 0;
    good &= plausible;
    std::printf("%-20s %6zu bytes, %6d accepted, %6d refused%s\n", one.name, one.bytes.size(),
                counts.accepted, counts.refused, plausible ? "" : "  FAILED");
  }
  return good ? 0 : 1;
}
