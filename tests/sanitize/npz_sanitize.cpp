// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Feeds the reader of numpy's archives every truncation of small files and thousands of bit flips,
// in the archive and in its compressed streams and headers alone, which the checksum would
// otherwise protect. It may refuse a file, but only by DataError; the sanitizers detect everything
// else.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "contrapunto/io/detail/npy.hpp"
#include "contrapunto/io/detail/zip.hpp"
#include "io/npz_file.hpp"
#include "sanitize/damage.hpp"

namespace {

using namespace contrapunto;
using namespace contrapunto::test;

void read_npy(const std::string& bytes) {
  // A buffer of exactly the right size: std::string keeps a zero behind its text.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  const auto header = contrapunto::detail::read_npy_header({exact.data(), exact.size()});
  std::int64_t elements = 1;
  for (const auto extent : header.shape) elements *= extent;
  const auto width = contrapunto::detail::npy_element_bytes(header.type);
  std::vector<char> copy(width * static_cast<std::size_t>(elements));
  if (!copy.empty()) std::memcpy(copy.data(), exact.data() + header.begin, copy.size());
}

void read_archive(const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  const contrapunto::detail::ByteSource file{
      .size = exact.size(), .read = [&](std::uint64_t offset, char* to, std::size_t count) {
        if (count > 0) std::memcpy(to, exact.data() + offset, count);
      }};
  for (const auto& [name, part] : contrapunto::detail::list_zip(file, /*compressed=*/true))
    read_npy(contrapunto::detail::read_zip(file, name, part));
}

/// Of 5000 bytes, as all streams here.
void read_stream(const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  std::vector<char> content(5000);
  contrapunto::detail::inflate({exact.data(), exact.size()}, content.data(), content.size());
}

}  // namespace

int main() {
  const auto a = npy_of("<f4", "(2, 3)", std::string(24, 'x'));
  const auto b = npy_of("|V2", "(2, 1, 0)", "", true);
  std::string content(5000, '\0');
  RandomStream random(7, 0, 0);
  for (std::size_t i = 0; i < content.size(); ++i)
    content[i] = static_cast<char>(i % 700 < 60 ? random.integer(30) : static_cast<int>(i % 5));
  struct Case {
    const char* name;
    std::string bytes;
    void (*reader)(const std::string&);
  };
  const std::vector<Case> cases = {
      {"archive", zip_of({{"a.npy", a}, {"b.npy", b}}), read_archive},
      {"zip64 archive", zip_of({{"a.npy", a}, {"b.npy", b}}, /*zip64=*/true), read_archive},
      {"compressed archive", deflated_zip_of({{"a.npy", a}, {"b.npy", b}}), read_archive},
      {"array", a, read_npy},
      {"array of version 2",
       npy_of("{'descr': '<i8', 'fortran_order': True, 'shape': (1,)}", std::string(8, '\1'), 2),
       read_npy},
      {"stream", deflated(content), read_stream},
      {"stream of fixed codes", deflated(content, 9, Z_FIXED), read_stream},
      {"stream of literals", deflated(content, 9, Z_HUFFMAN_ONLY), read_stream},
      {"stored stream", deflated(content, 0), read_stream}};
  bool good = true;
  for (const Case& one : cases) {
    const Counts counts = damage(one.bytes, 20000, one.reader);
    // Both must occur: some files are refused, and some are read.
    const bool plausible = counts.accepted > 0 && counts.refused > 0;
    good &= plausible;
    std::printf("%-22s %6zu bytes, %6d accepted, %6d refused%s\n", one.name, one.bytes.size(),
                counts.accepted, counts.refused, plausible ? "" : "  FAILED");
  }
  return good ? 0 : 1;
}
