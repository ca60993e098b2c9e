// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Feeds tar, CSV and image readers every truncation of small files and thousands of bit flips. They
// may refuse a file, but only by DataError; the sanitizers detect everything else.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "contrapunto/data/csv.hpp"
#include "contrapunto/data/tar_reader.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "contrapunto/image/image_decoder.hpp"
#include "contrapunto/image/resize.hpp"
#include "data/image_encode.hpp"
#include "data/tar_writer.hpp"
#include "sanitize/damage.hpp"

namespace {

using namespace contrapunto;
using namespace contrapunto::test;

void read_tar(const std::string& bytes) {
  const MemoryFile file{bytes};
  const TarListing listing = list_tar(file);
  for (const TarMember& member : listing.members) {
    std::string content(member.size, '\0');
    file.read(member.offset, content.data(), content.size());
  }
  if (listing.problem) throw DataError(*listing.problem);
}

void read_csv(const std::string& text) {
  const CsvTable table(text, ',');
  for (std::int64_t i = 0; i < table.size(); ++i) (void)table.row(i);
}

void read_image(const std::string& bytes) {
  // A buffer of exactly the right size: std::string keeps a zero behind its text.
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  const RgbImage image = decode_image(exact, 1 << 20);
  RgbImage small, part;
  for (const std::int64_t reduction : {1, 2}) {
    ImageDecoder decoder;
    decoder.open(exact, 1 << 20);
    const std::int64_t width = decoder.width(), height = decoder.height();
    static_cast<void>(decoder.decode({width / 3, height / 3, std::max<std::int64_t>(width / 2, 1),
                                      std::max<std::int64_t>(height / 2, 1)},
                                     part, reduction));
  }
  Resizer()(image, {0, 0, image.width(), image.height()}, 9, 7, {0, 0, 9, 7}, small);
}

}  // namespace

int main() {
  const RgbImage image = picture(40, 27);
  std::vector<std::vector<std::uint8_t>> rows;
  for (std::int64_t y = 0; y < image.height(); ++y)
    rows.emplace_back(image.row(y), image.row(y) + image.width() * 3);
  const std::vector<std::uint8_t> ink(40 * 27 * 4, 99);
  const PngFormat interlaced{.interlaced = true};
  const PngFormat deep_gray{.type = PNG_COLOR_TYPE_GRAY, .depth = 16};
  const PngFormat palette{
      .type = PNG_COLOR_TYPE_PALETTE, .palette = {{1, 2, 3}, {4, 5, 6}}, .palette_alpha = {0}};
  const std::vector<std::vector<std::uint8_t>> indices(27, std::vector<std::uint8_t>(40, 1));

  struct Case {
    const char* name;
    std::string bytes;
    void (*reader)(const std::string&);
  };
  const std::string long_name(200, 'n');
  const std::vector<Case> cases = {
      {"tar", tar_of({{"a.jpg", "content"}, {"a.txt", "caption"}}), read_tar},
      {"tar with long names",
       tar_member("././@LongLink", long_name, 'L') + tar_member("x", "1") +
           tar_member("pax", "18 path=folder/ab\n", 'x') + tar_member("y", "2") +
           std::string(1024, '\0'),
       read_tar},
      {"csv", "filepath,title\na.jpg,\"one \"\"two\"\"\nthree\"\r\nb.jpg,x\n", read_csv},
      {"jpeg", text(encode_jpeg(image.data(), 40, 27, 3)), read_image},
      {"jpeg progressive", text(encode_jpeg(image.data(), 40, 27, 3, true)), read_image},
      {"jpeg gray", text(encode_jpeg(ink.data(), 40, 27, 1)), read_image},
      {"jpeg cmyk", text(encode_jpeg(ink.data(), 40, 27, 4)), read_image},
      {"png", text(encode_png(rows, 40, {})), read_image},
      {"png interlaced", text(encode_png(rows, 40, interlaced)), read_image},
      {"png 16-bit gray", text(encode_png(rows, 40, deep_gray)), read_image},
      {"png palette", text(encode_png(indices, 40, palette)), read_image},
      {"webp", text(encode_webp(image, false)), read_image},
      {"webp lossless", text(encode_webp(image, true)), read_image},
      {"ppm", text(encode_ppm(picture(9, 5))), read_image}};
  bool good = true;
  for (const Case& one : cases) {
    const Counts counts = damage(one.bytes, 3000, one.reader);
    // Both must occur: some files are refused, and some are read.
    const bool plausible = counts.accepted > 0 && counts.refused > 0;
    good &= plausible;
    std::printf("%-20s %6zu bytes, %5d accepted, %5d refused%s\n", one.name, one.bytes.size(),
                counts.accepted, counts.refused, plausible ? "" : "  FAILED");
  }
  return good ? 0 : 1;
}
