// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/tar_reader.hpp"

#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using test::MemoryFile;

TEST_CASE("Every member of a tar is listed with its place", "[data][cpu]") {
  const test::Files files = {
      {"a/one.txt", "hello"}, {"empty.txt", ""}, {"b.bin", std::string(1500, 'x')}};
  const MemoryFile file{test::tar_of(files)};
  const TarListing listing = list_tar(file);
  CHECK_FALSE(listing.problem);
  REQUIRE(listing.members.size() == files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    CHECK(listing.members[i].name == files[i].first);
    CHECK(file.bytes.substr(listing.members[i].offset, listing.members[i].size) == files[i].second);
  }
}

TEST_CASE("Long names are read from GNU, pax and prefix fields", "[data][cpu]") {
  std::string gnu;
  for (int i = 0; i < 180; ++i) gnu += static_cast<char>('a' + i % 26);
  const std::string pax = "folder/" + gnu + ".jpg";
  const std::string record = " path=" + pax + "\n";
  const MemoryFile file{
      test::tar_member("././@LongLink", gnu + '\0', 'L') + test::tar_member("short", "1") +
      test::tar_member("head", std::to_string(record.size() + 3) + record, 'x') +
      test::tar_member("short", "22") + test::tar_member("tail", "333", '0', "some/folder") +
      test::tar_member("global", "19 comment=a\n12345\n", 'g') + test::tar_member("dir/", "", '5') +
      test::tar_member("plain", "4444") + std::string(1024, '\0')};
  const TarListing listing = list_tar(file);
  INFO(listing.problem.value_or(""));
  REQUIRE(listing.members.size() == 4);
  CHECK(listing.members[0].name == gnu);
  CHECK(listing.members[1].name == pax);
  CHECK(listing.members[2].name == "some/folder/tail");
  CHECK(listing.members[3].name == "plain");
  CHECK(listing.members[3].size == 4);
}

TEST_CASE("A size in base 256 is read", "[data][cpu]") {
  std::string member = test::tar_member("big", "12345");
  const std::string size("\x80\0\0\0\0\0\0\0\0\0\0\5", 12);
  member.replace(124, 12, size);
  unsigned sum = 0;
  member.replace(148, 8, "        ");
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(member[i]);
  char checksum[16];
  std::snprintf(checksum, sizeof checksum, "%06o", sum);
  member.replace(148, 7, std::string(checksum, 7));
  const TarListing listing = list_tar(MemoryFile{member + std::string(1024, '\0')});
  INFO(listing.problem.value_or(""));
  REQUIRE(listing.members.size() == 1);
  CHECK(listing.members[0].size == 5);
}

TEST_CASE("A tar that is cut off anywhere gives the members before the cut and reports the cut",
          "[data][cpu]") {
  const MemoryFile whole{
      test::tar_of({{"a.jpg", "content"}, {"a.txt", "caption"}, {"b.jpg", std::string(600, 'b')}})};
  const TarListing all = list_tar(whole);
  for (std::size_t length = 0; length < whole.bytes.size(); ++length) {
    const TarListing part = list_tar(MemoryFile{whole.bytes.substr(0, length)});
    REQUIRE(part.members.size() <= all.members.size());
    for (std::size_t i = 0; i < part.members.size(); ++i) {
      REQUIRE(part.members[i].name == all.members[i].name);
      REQUIRE(part.members[i].offset + part.members[i].size <= length);
    }
    // Complete members without an end mark count as undamaged; a cut inside a member is damage.
    if (part.members.size() < all.members.size() && length % 512 != 0) REQUIRE(part.problem);
  }
}

TEST_CASE("A bad header stops the reader, which reports its offset", "[data][cpu]") {
  std::string bytes = test::tar_of({{"a.jpg", "content"}, {"b.jpg", "more"}});
  bytes[1024 + 3] ^= 1;
  const TarListing listing = list_tar(MemoryFile{bytes});
  CHECK(listing.members.size() == 1);
  REQUIRE(listing.problem);
  CHECK(listing.problem == "at 1024: bad header checksum");
}
