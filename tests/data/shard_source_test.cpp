// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/shard_source.hpp"

#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Texts = std::vector<std::string>;

namespace {

std::string image_text(const EncodedSample& sample) {
  return {sample.image.begin(), sample.image.end()};
}

}  // namespace

TEST_CASE("Neighboring members with one key are a sample", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto first = folder.write("a.tar", test::tar_of({{"x/1.jpg", "IMAGE1"},
                                                         {"x/1.txt", "one"},
                                                         {"x/1.cls", "7\n"},
                                                         {"x/2.json", R"({"caption":"two"})"},
                                                         {"x/2.PNG", "IMAGE2"}}));
  const auto second = folder.write(
      "b.tar", test::tar_of({{"3.v2.webp", "other"}, {"3.webp", "IMAGE3"}, {"3.txt", "three"}}));
  folder.write("classes.txt", "cat\ndog\n");
  const ShardSource source(first + "::" + second);
  REQUIRE(source.size() == 3);
  CHECK(source.shard_sizes() == std::vector<std::int64_t>{2, 1});
  CHECK(source.class_names() == Texts{"cat", "dog"});
  CHECK(source.report().skipped == 0);
  const EncodedSample one = source.read(0);
  CHECK(one.key == "x/1");
  CHECK(one.source == first);
  CHECK(image_text(one) == "IMAGE1");
  CHECK(one.captions == Texts{"one"});
  CHECK(one.label == 7);
  CHECK(source.label(0) == 7);
  const EncodedSample two = source.read(1);
  CHECK(two.captions == Texts{"two"});
  CHECK_FALSE(two.label);
  CHECK_FALSE(source.label(1));
  CHECK(image_text(two) == "IMAGE2");
  CHECK(image_text(source.read(2)) == "IMAGE3");
  CHECK_THROWS_WITH(source.read(3), test::contains("sample 3 of 3"));
}

TEST_CASE("Captions come from the JSON fields that are named", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard =
      folder.write("a.tar", test::tar_of({{"1.jpg", "I"},
                                          {"1.txt", "text"},
                                          {"1.json", R"({"captions":["a","b"],"long":"c","n":3})"},
                                          {"2.jpg", "I"},
                                          {"2.json", "{broken"}}));
  CHECK(ShardSource(shard).read(0).captions == Texts{"text"});
  CHECK(ShardSource(shard, {.caption_fields = {"long", "captions", "n"}}).read(0).captions ==
        Texts{"c", "a", "b"});
  CHECK(ShardSource(shard, {.caption_fields = {"none"}}).read(0).captions.empty());
  CHECK_THROWS_WITH(ShardSource(shard).read(1),
                    shard + ": 2: the json member is not a JSON object");
  CHECK(ShardSource(shard).read(0).caption_weights.empty());
  const ShardSource weighted(
      shard, {.caption_fields = {"long", "none", "captions"}, .caption_weights = {3, 5, 1}});
  CHECK(weighted.read(0).captions == Texts{"c", "a", "b"});
  CHECK(weighted.read(0).caption_weights == std::vector{3.0, 0.5, 0.5});
  CHECK_THROWS_WITH(ShardSource(shard, {.caption_weights = {1}}),
                    test::contains("1 caption weights for 0 caption fields"));
}

TEST_CASE("Incomplete samples of a shard are counted and named, and the others are used",
          "[data][cpu]") {
  const test::TemporaryFolder folder;
  std::string bytes = test::tar_of({{"1.jpg", "I"},
                                    {"1.txt", "t"},
                                    {"2.txt", "no image"},
                                    {"3.jpg", "no text"},
                                    {"4.jpg", "I"},
                                    {"4.txt", "t"},
                                    {"5.jpg", "I"},
                                    {"5.txt", "cut off"}});
  const auto shard = folder.write("a.tar", bytes.substr(0, 14 * 512 + 100));
  const ShardSource source(shard);
  CHECK(source.size() == 2);
  CHECK(source.read(1).key == "4");
  REQUIRE(source.report().skipped == 3);
  CHECK(source.report().first[0] == shard + ": 2: no image member");
  CHECK(source.report().first[1] == shard + ": 3: no txt, json or cls member");
  CHECK_THAT(source.report().first[2], test::contains("at 7168: truncated"));
}

TEST_CASE("A shard without a usable sample raises with the reason", "[data][cpu]") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(ShardSource(folder.write("a.tar", "no tar at all")),
                    test::contains("at 0: truncated header"));
  CHECK_THROWS_WITH(ShardSource(folder.write("b.tar", std::string(1024, '\0'))),
                    test::contains("archive is empty"));
  CHECK_THROWS_WITH(ShardSource(folder.write("c.tar", test::tar_of({{"1.jpg", "I"}}))),
                    test::contains("KEY.txt"));
  CHECK_THROWS_WITH(ShardSource(folder / "d.tar"), test::contains("does not exist"));
  CHECK_THROWS_WITH(ShardSource(std::vector<std::string>{}), test::contains("empty"));
}

TEST_CASE("An archive of another kind is named", "[data][cpu]") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(ShardSource(folder.write("a.tar", "\x1F\x8B\x08" + std::string(600, 'z'))),
                    test::contains("it is a gzip file"));
  CHECK_THROWS_WITH(ShardSource(folder.write("b.tar", "PK\x03\x04" + std::string(600, 'z'))),
                    test::contains("it is a zip file"));
}

TEST_CASE("A shard that changes while it is read raises, and a removed one is read on",
          "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto shard_of = [](const std::string& text) {
    return test::tar_of({{"1.jpg", "IMAGE"}, {"1.txt", text}, {"1.cls", "1"}});
  };
  const auto path = folder.write("a.tar", shard_of("one"));
  const auto is_named = test::contains("shard '" + path + "' has been written to or replaced");
  const ShardSource overwritten(path);
  CHECK(overwritten.read(0).captions == Texts{"one"});
  folder.write("a.tar", shard_of("other"));  // in place, of the same size
  CHECK_THROWS_AS(overwritten.read(0), c10::Error);
  CHECK_THROWS_WITH(overwritten.read(0), is_named);
  CHECK_THROWS_WITH(overwritten.label(0), is_named);

  const ShardSource truncated(path);
  std::filesystem::resize_file(path, 700);
  CHECK_THROWS_WITH(truncated.read(0), is_named);

  folder.write("a.tar", shard_of("one"));
  const ShardSource replaced(path);
  const ShardSource in_use(path);
  CHECK(in_use.read(0).captions == Texts{"one"});
  std::filesystem::rename(folder.write("b.tar", shard_of("new")), path);
  CHECK_THROWS_WITH(replaced.read(0),
                    is_named);  // opened only now, so the index belongs to another file
  CHECK(in_use.read(0).captions == Texts{"one"});
  std::filesystem::remove(path);
  CHECK(in_use.read(0).captions == Texts{"one"});
}

TEST_CASE("More shards than may be open at once are read in any order", "[data][cpu]") {
  const test::TemporaryFolder folder;
  for (int i = 0; i < 300; ++i)
    folder.write("s-" + std::to_string(1000 + i) + ".tar",
                 test::tar_of({{"k.jpg", "I" + std::to_string(i)}, {"k.txt", "t"}}));
  const ShardSource source(folder / "");
  REQUIRE(source.size() == 300);
  for (std::int64_t i = 0; i < 600; ++i)
    REQUIRE(image_text(source.read(i * 7 % 300)) == "I" + std::to_string(i * 7 % 300));
}
