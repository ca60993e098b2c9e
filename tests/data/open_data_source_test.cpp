// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/open_data_source.hpp"

#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("open_data_source chooses the kind of source from its argument", "[data][cpu]") {
  const test::TemporaryFolder folder;
  folder.write("shards/a-0.tar", test::tar_of({{"1.jpg", "I"}, {"1.txt", "t"}}));
  folder.write("classes/cat/1.jpg", "I");
  folder.write("list.csv", "filepath,title\nclasses/cat/1.jpg,a cat\n");
  const auto is = [](const auto& source, auto* type) {
    return dynamic_cast<decltype(type)>(source.get()) != nullptr;
  };
  using Shards = const ShardSource;
  using Csv = const CsvSource;
  using Folders = const FolderSource;
  using Shapes = const SyntheticShapes;
  CHECK(is(open_data_source("synthetic"), static_cast<Shapes*>(nullptr)));
  CHECK(is(open_data_source(folder / "list.csv"), static_cast<Csv*>(nullptr)));
  CHECK(is(open_data_source(folder / "shards"), static_cast<Shards*>(nullptr)));
  CHECK(is(open_data_source(folder / "shards/a-{0..0}.tar"), static_cast<Shards*>(nullptr)));
  CHECK(is(open_data_source(folder / "classes"), static_cast<Folders*>(nullptr)));
  CHECK_THROWS_WITH(open_data_source(folder / "nothing"), test::contains("cannot tell what"));
  const auto list = folder.write("named.csv", "filepath,text,title\nx.jpg,a,b\n");
  CHECK_THROWS_WITH(open_data_source(list, {.caption_fields = {"none"}}), test::contains("'none'"));
  CHECK(open_data_source(list, {.caption_fields = {"text"}})->size() == 1);
  CHECK_THROWS_WITH(open_data_source(""), test::contains("no data given"));
}
