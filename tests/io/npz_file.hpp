// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "io/torch_file.hpp"

// Writes the files of numpy.savez byte by byte, without LibTorch and without the code under test.
namespace contrapunto::test {

/// A .npy file with this dictionary and these elements.
inline std::string npy_of(const std::string& dictionary, const std::string& elements,
                          int version = 1) {
  const auto text = dictionary + "  \n";
  return std::string("\x93NUMPY") + static_cast<char>(version) + '\0' +
         little(text.size(), version == 1 ? 2 : 4) + text + elements;
}

inline std::string npy_of(const std::string& type, const std::string& shape,
                          const std::string& elements, bool fortran_order = false) {
  return npy_of("{'descr': '" + type + "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                    ", 'shape': " + shape + ", }",
                elements);
}

/// Compresses `bytes` with zlib. `strategy` may demand one kind of block; level 0 stores.
inline std::string deflated(const std::string& bytes, int level = 9,
                            int strategy = Z_DEFAULT_STRATEGY) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, -15, 9, strategy) != Z_OK)
    throw std::runtime_error("deflateInit2 failed");
  std::string packed(deflateBound(&stream, static_cast<uLong>(bytes.size())) + 16, '\0');
  std::string source = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(source.data());
  stream.avail_in = static_cast<uInt>(source.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int end = ::deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (end != Z_STREAM_END) throw std::runtime_error("deflate failed");
  return packed;
}

/// A zip archive of compressed parts.
inline std::string deflated_zip_of(const std::vector<std::pair<std::string, std::string>>& parts,
                                   int level = 9, int strategy = Z_DEFAULT_STRATEGY) {
  std::string file, list;
  for (const auto& [name, content] : parts) {
    const auto packed = deflated(content, level, strategy);
    const auto crc = little(contrapunto::detail::crc32_of(content), 4);
    const auto offset = file.size();
    const auto common = little(0, 2) + little(8, 2) + little(0, 4) + crc +
                        little(packed.size(), 4) + little(content.size(), 4) +
                        little(name.size(), 2) + little(0, 2);
    file += "PK\x03\x04" + little(20, 2) + common + name + packed;
    list += "PK\x01\x02" + little(20, 2) + little(20, 2) + common + little(0, 10) +
            little(offset, 4) + name;
  }
  const auto begin = file.size();
  return file + list + "PK\x05\x06" + little(0, 4) + little(parts.size(), 2) +
         little(parts.size(), 2) + little(list.size(), 4) + little(begin, 4) + little(0, 2);
}

}  // namespace contrapunto::test
