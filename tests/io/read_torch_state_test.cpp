// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/io/read_torch_state.hpp"

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "contrapunto/io/read_weights.hpp"
#include "io/temporary_folder.hpp"
#include "io/torch_file.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using namespace contrapunto::test;
using Catch::Matchers::Contains;

namespace {

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

const std::string kSix = bytes_of<float>({0, 1, 2, 3, 4, 5});

std::string six(std::int64_t offset, const std::vector<std::int64_t>& sizes,
                const std::vector<std::int64_t>& strides, std::int64_t elements = 6) {
  return pickle_tensor(pickle_storage("FloatStorage", "0", elements), offset, sizes, strides);
}

/// Reads the file `bytes` and checks that it is refused with each of `words` and its path.
void refuse(const std::string& bytes, const std::vector<std::string>& words) {
  const TemporaryFolder folder;
  write(folder / "bad.pt", bytes);
  std::string message;
  try {
    static_cast<void>(read_torch_state(folder / "bad.pt"));
  } catch (const DataError& error) {
    message = error.what();
  }
  CHECK_THAT(message, Contains("bad.pt"));
  for (const auto& word : words) CHECK_THAT(message, Contains(word));
}

}  // namespace

TEST_CASE("Tensors of a checkpoint are read with their strides and shared storages", "[io][cpu]") {
  const TemporaryFolder folder;
  for (const bool zip64 : {false, true}) {
    write(folder / "a.pt",
          torch_file(checkpoint_value(), {kSix, "", std::string("\1\0\2", 3)}, zip64));
    const auto state = read_torch_state(folder / "a.pt");
    REQUIRE(state.size() == 4);
    const auto whole = torch::arange(6, at::kFloat).view({2, 3});
    CHECK(at::equal(state.at("module.a"), whole));
    CHECK(at::equal(state.at("module.b"), torch::tensor({{1.0F, 4.0F}, {2.0F, 5.0F}})));
    CHECK(state.at("module.b").strides() == at::IntArrayRef({1, 3}));
    CHECK(state.at("module.c").sizes() == at::IntArrayRef({0, 4}));
    CHECK(state.at("module.c").scalar_type() == at::kLong);
    CHECK(at::equal(state.at("module.d"), torch::tensor({true, false, true})));
    state.at("module.a").fill_(7.0F);
    CHECK(state.at("module.b").eq(7.0F).all().item<bool>());
  }
}

TEST_CASE("Every dtype of a storage is read", "[io][cpu]") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, at::ScalarType>> types = {
      {"DoubleStorage", at::kDouble},     {"FloatStorage", at::kFloat}, {"HalfStorage", at::kHalf},
      {"BFloat16Storage", at::kBFloat16}, {"LongStorage", at::kLong},   {"IntStorage", at::kInt},
      {"ShortStorage", at::kShort},       {"CharStorage", at::kChar},   {"ByteStorage", at::kByte}};
  for (const auto& [name, type] : types) {
    INFO(name);
    const auto values = torch::tensor({1, 2, 3, 100}).to(type);
    const std::string bytes(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
    write(folder / "a.pt",
          torch_file(pickle_dict({{"x", pickle_tensor(pickle_storage(name, "0", 4), 1, {3}, {1})}}),
                     {bytes}));
    const auto x = read_torch_state(folder / "a.pt").at("x");
    CHECK(x.scalar_type() == type);
    CHECK(at::equal(x, values.narrow(0, 1, 3)));
  }
}

TEST_CASE("The state dict is found at the top, under state_dict and under model", "[io][cpu]") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& value) {
    write(folder / "a.pt", torch_file(value, {kSix}));
    return read_torch_state(folder / "a.pt");
  };
  const auto a = pickle_dict({{"a", six(0, {6}, {1})}}), b = pickle_dict({{"b", six(0, {6}, {1})}});
  CHECK(read(a).contains("a"));
  CHECK(read(pickle_dict({{"model", a}, {"state_dict", b}, {"epoch", "K\1"}})).contains("b"));
  CHECK(read(pickle_dict({{"model", a}, {"optimizer", b}})).contains("a"));
  // A tensor may have that name, and the last of two equal keys counts.
  CHECK(read(pickle_dict({{"model", six(0, {6}, {1})}})).contains("model"));
  CHECK(read(pickle_dict({{"a", six(0, {6}, {1})}, {"a", six(2, {}, {})}})).at("a").item<float>() ==
        2.0F);
}

TEST_CASE("Calls and instructions that no state dict needs are refused by name and offset",
          "[io][cpu]") {
  const auto hostile = pickle_name("posix", "system") + "(" + pickle_text("touch hacked") + "tR";
  // Two bytes of protocol and one of the dictionary's beginning, '(' and its key precede it.
  refuse(torch_file(pickle_dict({{"a", hostile}}), {}),
         {"data.pkl, byte 10: refers to 'posix.system'", "nothing was executed"});
  refuse(torch_file(pickle_name("builtins", "eval") + "(" + pickle_text("1") + "tR", {}),
         {"byte 2: refers to 'builtins.eval'"});
  refuse(torch_file(pickle_name("numpy.core.multiarray", "scalar"), {}),
         {"'numpy.core.multiarray.scalar'"});
  refuse(torch_file("}\x81", {}), {"byte 3", "instruction 0x81", "state_dict"});
  refuse(torch_file("\x80\x04", {}), {"pickle protocol 4", "protocol 2"});
  refuse(torch_file(pickle_text("not a function") + ")R", {}), {"expected a function"});
  refuse(torch_file(pickle_name("torch", "FloatStorage") + ")R", {}),
         {"'torch.FloatStorage' is not a function"});
  refuse(torch_file(pickle_name("collections", "OrderedDict") + "NR", {}), {"tuple of arguments"});
}

TEST_CASE("Faulty pickles are refused", "[io][cpu]") {
  const auto pickle = [](const std::string& bytes) {
    return zip_of({{"archive/data.pkl", bytes}});
  };
  refuse(pickle(""), {"byte 0", "ends too early"});
  refuse(pickle("\x80\x02}"), {"ends too early"});
  refuse(pickle("}.}"), {"more bytes after the end"});
  refuse(pickle("}}."), {"left on the stack"});
  refuse(pickle("(}."), {"left on the stack"});
  refuse(pickle("."), {"the stack is empty"});
  refuse(pickle("}(a"), {"the stack is empty"});  // Not below the mark.
  refuse(pickle("u"), {"there is no mark"});
  refuse(pickle("}(Nu."), {"a key has no value"});
  refuse(pickle("](NNu."), {"expected a dictionary"});
  refuse(pickle("h\x07."), {"value 7 was not stored"});
  refuse(pickle("X" + little(0xFFFFFFFF, 4) + "a."), {"ends too early"});
  refuse(pickle("\x8A\x09" + std::string(9, '\1') + "."), {"a number of 9 bytes"});
  refuse(pickle("N."), {"no dictionary of tensors"});
  refuse(pickle("}."), {"no tensors by name"});
  refuse(pickle("}q\1(" + pickle_text("model") + "h\1u."), {"no tensors by name"});  // Of itself.
  std::string deep = "N";
  for (int i = 0; i < 1'000'000; ++i) deep += "\x85";
  refuse(pickle(deep + "."), {"no dictionary"});
}

TEST_CASE("Tensors that do not fit their storages are refused before they are made", "[io][cpu]") {
  const auto fault = [](const std::string& tensor, const std::string& storage,
                        const std::vector<std::string>& words) {
    refuse(torch_file(pickle_dict({{"a", tensor}}), {storage}), words);
  };
  const std::int64_t large = std::int64_t{1} << 62;
  fault(six(1, {2, 3}, {3, 1}), kSix, {"reaches element 6 of a storage of 6"});
  fault(six(0, {2, 3}, {4, 1}), kSix, {"reaches element 6 of a storage of 6"});
  fault(six(6, {}, {}), kSix, {"reaches element 6"});
  fault(six(0, {7}, {0}), kSix, {"7 elements repeats those of a storage of 6", "contiguous"});
  fault(six(0, {large, large}, {0, 0}), kSix, {"overflow"});
  fault(six(0, {large, 0, large}, {1, 1, 1}), kSix, {"overflow"});
  fault(six(0, {3}, {large}), kSix, {"overflow"});
  fault(six(large, {3}, {large}), kSix, {"overflow"});
  fault(six(-1, {3}, {1}), kSix, {"an offset of -1"});
  fault(six(0, {-3}, {1}), kSix, {"size or stride of -3"});
  fault(six(0, {3}, {-1}), kSix, {"size or stride of -1"});
  fault(six(0, {3}, {1, 1}), kSix, {"different lengths"});
  fault(six(0, {6}, {1}, -6), kSix, {"a storage of -6 elements"});
  fault(six(0, {3}, {1}, 7), kSix, {"'a'", "data/0 has 24 bytes, too few for 7 elements of 4"});
  fault(six(0, {3}, {1}, large), kSix, {"too few for 4611686018427387904 elements"});
  fault(pickle_tensor(pickle_storage("FloatStorage", "9", 1), 0, {1}, {1}), kSix,
        {"the part data/9 is missing"});
  std::vector<std::int64_t> many(65, 1);
  fault(six(0, many, many), kSix, {"a tensor of 65 dimensions"});
  fault(pickle_tensor(pickle_name("torch", "FloatStorage"), 0, {1}, {1}), kSix,
        {"expected the storage of a tensor"});
}

TEST_CASE("Files of other formats are refused with what to do", "[io][cpu]") {
  refuse("\x80\x02\x8A\x0A", {"PyTorch 1.6", "state_dict()"});  // The older format.
  refuse("", {"PyTorch 1.6"});
  const auto value = pickle_dict({{"a", six(0, {6}, {1})}});
  auto script = std::vector<std::pair<std::string, std::string>>{
      {"clip/data.pkl", pickle_of(value)}, {"clip/code/model.py", ""}};
  refuse(zip_of(script), {"TorchScript", "torch.jit.load"});
  refuse(zip_of({{"a.txt", "text"}}), {"no data.pkl"});
  const std::vector<std::pair<std::string, std::string>> big_endian = {
      {"a/data.pkl", pickle_of(value)}, {"a/byteorder", "big"}};
  refuse(zip_of(big_endian), {"byte order"});
  CHECK_THROWS_WITH(read_torch_state("/no/such.pt"), Contains("/no/such.pt"));
}

TEST_CASE("Damaged archives are refused", "[io][cpu]") {
  const auto file = torch_file(pickle_dict({{"a", six(0, {6}, {1})}}), {kSix});
  for (const std::size_t cut : {std::size_t{4}, std::size_t{100}, file.size() - 1})
    refuse(file.substr(0, cut), {"truncated"});
  auto flipped = file;
  flipped[file.find(kSix) + 5] ^= 4;
  refuse(flipped, {"part 'archive/data/0' is damaged"});
  flipped = file;
  flipped[file.find("FloatStorage")] ^= 1;
  refuse(flipped, {"part 'archive/data.pkl' is damaged"});
  auto compressed = file;
  const auto record = file.find("PK\x01\x02");
  compressed[record + 10] = 8;
  refuse(compressed, {"'archive/data.pkl' is compressed"});
  // The size of a compressed part is not bounded by that of the file.
  auto large = file;
  const auto data = file.find("archive/data/0", record) - 46;
  large[data + 10] = 8;
  large.replace(data + 24, 4, little(0xFFFFFFFE, 4));
  refuse(large, {"'archive/data/0' is compressed"});
  auto encrypted = file;
  encrypted[record + 8] = 1;
  refuse(encrypted, {"encrypted"});
  auto elsewhere = file;
  elsewhere[record + 42] = 1;
  refuse(elsewhere, {"does not begin where the list says"});
  const std::vector<std::pair<std::string, std::string>> twice = {{"a/x", "1"}, {"a/x", "1"}};
  refuse(zip_of(twice), {"two parts 'a/x'"});
}

TEST_CASE("Weights are read by what is in the file", "[io][cpu]") {
  const TemporaryFolder folder;
  const auto file = torch_file(pickle_dict({{"a", six(0, {6}, {1})}}), {kSix});
  write(folder / "a.pt", file);
  write(folder / "a.weights", file);
  write_safetensors(folder / "a.safetensors", {{"a", torch::arange(6, at::kFloat)}});
  for (const auto* name : {"a.pt", "a.weights", "a.safetensors"})
    CHECK(at::equal(read_weights(folder / name).at("a"), torch::arange(6, at::kFloat)));
  write(folder / "old.pt", "\x80\x02\x8A\x0A");
  CHECK_THROWS_WITH(read_weights(folder / "old.pt"), Contains("PyTorch 1.6"));
  CHECK_THROWS_WITH(read_weights(folder / "no.safetensors"), Contains("cannot be opened"));
  CHECK(is_weights_path("x/y.pth"));
  CHECK_FALSE(is_weights_path("ViT-B-32"));
}
