// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"

namespace contrapunto::detail {

/// A tensor that a pickle of torch.save describes. Its elements are in a storage, a part of the
/// archive, from `offset` on and at `strides`, all of them counted in elements. The description is
/// consistent: every element lies inside the `storage_elements`, which are no fewer than its own.
struct TorchTensorEntry {
  std::string_view type = {};  ///< Name of the dtype in safetensors.
  std::uint64_t element_bytes = 0;
  std::string_view storage = {};
  std::uint64_t storage_elements = 0;
  std::int64_t offset = 0;
  std::vector<std::int64_t> sizes = {}, strides = {};
};

/// Reads the pickles of state dicts. A pickle is a program for a stack machine that can call any
/// function of Python. This reader knows only the instructions from which torch.save makes state
/// dicts (protocol 2), and only the functions that make ordered dictionaries, tensors and
/// parameters are accepted, each of which is a case here; nothing is executed. Everything else
/// raises DataError with the instruction or the name and its offset. Values are entries of one list
/// and refer to each other by index, so neither depth nor cycles need recursion. Texts are views of
/// the pickle.
class TorchPickle {
 public:
  enum class Kind { kNone, kNumber, kText, kTuple, kList, kDict, kName, kStorage, kTensor };

  struct Value {
    Kind kind = Kind::kNone;
    std::int64_t number = 0;  ///< Also of a bool; of a tensor, its index in `tensors_`.
    std::string_view text = {};
    std::vector<std::uint32_t> items = {};  ///< Of a dictionary, keys and values in turn.
  };

  explicit TorchPickle(std::string_view bytes) : bytes_(bytes) {
    if (bytes.size() > kLargest)
      throw DataError("data.pkl has " + std::to_string(bytes.size()) + " bytes; more than " +
                      std::to_string(kLargest) + " are not read");
    values_.resize(1);  // None, to which index 0 refers.
    while (!stopped_) step();
    if (at_ != bytes_.size()) fail("there are more bytes after the end of the pickle");
  }

  /// Returns the tensors of the state dict by name: those of the dictionary under "state_dict" or
  /// else "model" if there is one, otherwise those of the whole. What is no tensor is left out.
  /// Raises DataError if there is no tensor.
  [[nodiscard]] std::map<std::string, TorchTensorEntry> state() const {
    const auto* dict = &values_[root_];
    if (dict->kind != Kind::kDict)
      throw DataError("holds no dictionary of tensors; save model.state_dict()");
    for (const std::string_view key : {"state_dict", "model"})
      if (const auto* inner = find(*dict, key); inner != nullptr && inner->kind == Kind::kDict) {
        dict = inner;
        break;
      }
    std::map<std::string, TorchTensorEntry> tensors;
    for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
      const auto &key = values_[dict->items[i]], &value = values_[dict->items[i + 1]];
      if (key.kind == Kind::kText && value.kind == Kind::kTensor)
        tensors[std::string(key.text)] = tensors_[static_cast<std::size_t>(value.number)];
    }
    if (tensors.empty())
      throw DataError(
          "holds no tensors by name; save model.state_dict(), or a dictionary that has "
          "it under 'state_dict' or 'model'");
    return tensors;
  }

 private:
  static constexpr std::size_t kLargest = std::size_t{1} << 25;  // 200,000 tensors take about this.
  static constexpr std::size_t kMostDimensions = 64;             // The limit of LibTorch.
  static constexpr std::size_t kMostTensors = std::size_t{1} << 20;
  struct StorageType {
    std::string_view name, type;
    std::int64_t bytes;
  };
  static constexpr std::array<StorageType, 10> kStorageTypes{{{"torch.FloatStorage", "F32", 4},
                                                              {"torch.DoubleStorage", "F64", 8},
                                                              {"torch.HalfStorage", "F16", 2},
                                                              {"torch.BFloat16Storage", "BF16", 2},
                                                              {"torch.LongStorage", "I64", 8},
                                                              {"torch.IntStorage", "I32", 4},
                                                              {"torch.ShortStorage", "I16", 2},
                                                              {"torch.CharStorage", "I8", 1},
                                                              {"torch.ByteStorage", "U8", 1},
                                                              {"torch.BoolStorage", "BOOL", 1}}};
  static constexpr std::string_view kOrderedDict = "collections.OrderedDict",
                                    kTensorName = "torch._utils._rebuild_tensor_v2",
                                    kParameter = "torch._utils._rebuild_parameter";

  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError("data.pkl, byte " + std::to_string(instruction_) + ": " + reason);
  }

  [[nodiscard]] std::string_view take(std::size_t count) {
    if (count > bytes_.size() - at_) fail("the pickle ends too early");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  /// A little-endian number of `count` bytes without sign.
  [[nodiscard]] std::uint64_t take_number(std::size_t count) {
    std::uint64_t number = 0;
    const auto bytes = take(count);
    for (std::size_t i = 0; i < count; ++i)
      number |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return number;
  }

  [[nodiscard]] std::string_view take_line() {
    const auto end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("the pickle ends too early");
    const auto line = take(end - at_);
    ++at_;
    return line;
  }

  void push(Value value) {
    stack_.push_back(static_cast<std::uint32_t>(values_.size()));
    values_.push_back(std::move(value));
  }

  [[nodiscard]] std::uint32_t top() const {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("the stack is empty");
    return stack_.back();
  }

  [[nodiscard]] std::uint32_t pop() {
    const auto value = top();
    stack_.pop_back();
    return value;
  }

  /// Takes the values above the last mark, and the mark.
  [[nodiscard]] std::vector<std::uint32_t> pop_to_mark() {
    if (marks_.empty()) fail("there is no mark");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<std::uint32_t> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }

  /// Takes `count` values, the deepest one first.
  [[nodiscard]] std::vector<std::uint32_t> pop_many(std::size_t count) {
    std::vector<std::uint32_t> values(count);
    for (std::size_t i = count; i > 0; --i) values[i - 1] = pop();
    return values;
  }

  Value& expect(std::uint32_t index, Kind kind, const char* what) {
    if (values_[index].kind != kind) fail(std::string("expected ") + what);
    return values_[index];
  }

  void append(const std::vector<std::uint32_t>& values, Kind kind, const char* what) {
    auto& items = expect(top(), kind, what).items;
    items.insert(items.end(), values.begin(), values.end());
  }

  void put(std::uint64_t key) { memo_[key] = top(); }

  void get(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fail("value " + std::to_string(key) + " was not stored before");
    stack_.push_back(found->second);
  }

  void set_items(const std::vector<std::uint32_t>& items) {
    if (items.size() % 2 != 0) fail("a key has no value");
    append(items, Kind::kDict, "a dictionary");
  }

  /// Reads one instruction.
  void step() {
    instruction_ = at_;
    const auto code = static_cast<unsigned char>(take(1)[0]);
    switch (code) {
      case 0x80:  // PROTO
        if (const auto protocol = take_number(1); protocol > 2)
          fail("pickle protocol " + std::to_string(protocol) +
               "; save with torch.save's default, protocol 2");
        return;
      case '.':  // STOP
        root_ = pop();
        if (!stack_.empty() || !marks_.empty()) fail("values are left on the stack at the end");
        stopped_ = true;
        return;
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return;
      case 'N':  // NONE
        stack_.push_back(0);
        return;
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        return push({.kind = Kind::kNumber, .number = code == 0x88});
      case 'K':  // BININT1
        return push({.kind = Kind::kNumber, .number = static_cast<std::int64_t>(take_number(1))});
      case 'M':  // BININT2
        return push({.kind = Kind::kNumber, .number = static_cast<std::int64_t>(take_number(2))});
      case 'J':  // BININT
        return push(
            {.kind = Kind::kNumber,
             .number = static_cast<std::int32_t>(static_cast<std::uint32_t>(take_number(4)))});
      case 0x8A: {  // LONG1
        const auto count = take_number(1);
        if (count > 8) fail("a number of " + std::to_string(count) + " bytes, more than 8");
        auto number = take_number(count);
        if (count > 0 && count < 8 && (number >> (8 * count - 1)) != 0)
          number |= ~std::uint64_t{0} << (8 * count);
        return push({.kind = Kind::kNumber, .number = std::bit_cast<std::int64_t>(number)});
      }
      case 'G':  // BINFLOAT, which no tensor needs.
        static_cast<void>(take(8));
        stack_.push_back(0);
        return;
      case 'X':  // BINUNICODE
        return push({.kind = Kind::kText, .text = take(take_number(4))});
      case ')':  // EMPTY_TUPLE
        return push({.kind = Kind::kTuple});
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return push({.kind = Kind::kTuple, .items = pop_many(code - std::size_t{0x84})});
      case 't':  // TUPLE
        return push({.kind = Kind::kTuple, .items = pop_to_mark()});
      case ']':  // EMPTY_LIST
        return push({.kind = Kind::kList});
      case 'a':  // APPEND
        return append(pop_many(1), Kind::kList, "a list");
      case 'e':  // APPENDS
        return append(pop_to_mark(), Kind::kList, "a list");
      case '}':  // EMPTY_DICT
        return push({.kind = Kind::kDict});
      case 's':  // SETITEM
        return set_items(pop_many(2));
      case 'u':  // SETITEMS
        return set_items(pop_to_mark());
      case 'q':  // BINPUT
        return put(take_number(1));
      case 'r':  // LONG_BINPUT
        return put(take_number(4));
      case 'h':  // BINGET
        return get(take_number(1));
      case 'j':  // LONG_BINGET
        return get(take_number(4));
      case 'c':  // GLOBAL
        return name();
      case 'Q':  // BINPERSID
        return storage();
      case 'R':  // REDUCE
        return call();
      case 'b':  // BUILD: attributes of an ordered dictionary, such as the versions of modules.
        static_cast<void>(pop());
        static_cast<void>(expect(top(), Kind::kDict, "a dictionary whose attributes are set"));
        return;
      default: {
        std::array<char, 8> hex{};
        std::snprintf(hex.data(), hex.size(), "0x%02x", code);
        fail(std::string("the pickle instruction ") + hex.data() +
             " does not occur in a state dict that torch.save wrote; save model.state_dict()");
      }
    }
  }

  void name() {
    const auto module = take_line(), function = take_line();
    const auto whole = std::string(module) + "." + std::string(function);
    for (const auto known : {kOrderedDict, kTensorName, kParameter})
      if (whole == known) return push({.kind = Kind::kName, .text = known});
    for (const auto& type : kStorageTypes)
      if (whole == type.name) return push({.kind = Kind::kName, .text = type.name});
    fail("refers to '" + whole + "', which is not part of a state dict; nothing was executed. " +
         "If you trust the file, load it in Python and save its state_dict()");
  }

  /// A tuple of "storage", the type, the name of the part, the device, and the number of elements.
  void storage() {
    const auto& items = expect(pop(), Kind::kTuple, "the description of a storage").items;
    if (items.size() != 5 || expect(items[0], Kind::kText, "the word storage").text != "storage")
      fail("expected the description of a storage");
    const auto type = expect(items[1], Kind::kName, "the type of a storage").text;
    if (std::none_of(kStorageTypes.begin(), kStorageTypes.end(),
                     [&](const auto& known) { return known.name == type; }))
      fail("'" + std::string(type) + "' is not the type of a storage");
    const auto key = expect(items[2], Kind::kText, "the name of a storage").text;
    const auto elements = expect(items[4], Kind::kNumber, "the size of a storage").number;
    if (elements < 0) fail("a storage of " + std::to_string(elements) + " elements");
    push({.kind = Kind::kStorage, .number = elements, .text = key, .items = {items[1]}});
  }

  void call() {
    const auto arguments_index = pop(), function_index = pop();
    const auto function = expect(function_index, Kind::kName, "a function").text;
    const auto& arguments = expect(arguments_index, Kind::kTuple, "a tuple of arguments").items;
    if (function == kOrderedDict) {
      if (!arguments.empty()) fail("an OrderedDict with arguments");
      return push({.kind = Kind::kDict});
    }
    if (function == kParameter) {
      if (arguments.empty()) fail("a parameter has no tensor");
      static_cast<void>(expect(arguments[0], Kind::kTensor, "the tensor of a parameter"));
      stack_.push_back(arguments[0]);
      return;
    }
    if (function != kTensorName) fail("'" + std::string(function) + "' is not a function");
    if (arguments.size() < 4) fail("a tensor has too few arguments");
    if (tensors_.size() == kMostTensors)
      fail("more than " + std::to_string(kMostTensors) + " tensors");
    tensors_.push_back(tensor(arguments));
    push({.kind = Kind::kTensor, .number = static_cast<std::int64_t>(tensors_.size()) - 1});
  }

  [[nodiscard]] std::vector<std::int64_t> numbers(std::uint32_t tuple) {
    const auto& items = expect(tuple, Kind::kTuple, "a tuple of numbers").items;
    if (items.size() > kMostDimensions)
      fail("a tensor of " + std::to_string(items.size()) + " dimensions");
    std::vector<std::int64_t> result;
    for (const auto item : items) {
      result.push_back(expect(item, Kind::kNumber, "a tuple of numbers").number);
      if (result.back() < 0) fail("a size or stride of " + std::to_string(result.back()));
    }
    return result;
  }

  /// The tensor of a storage, an offset, sizes and strides.
  [[nodiscard]] TorchTensorEntry tensor(const std::vector<std::uint32_t>& arguments) {
    const auto& storage = expect(arguments[0], Kind::kStorage, "the storage of a tensor");
    const auto type_name = values_[storage.items[0]].text;
    const auto* type = std::find_if(kStorageTypes.begin(), kStorageTypes.end(),
                                    [&](const auto& known) { return known.name == type_name; });
    TorchTensorEntry entry{.type = type->type,
                           .element_bytes = static_cast<std::uint64_t>(type->bytes),
                           .storage = storage.text,
                           .storage_elements = static_cast<std::uint64_t>(storage.number),
                           .offset = expect(arguments[1], Kind::kNumber, "an offset").number,
                           .sizes = numbers(arguments[2]),
                           .strides = numbers(arguments[3])};
    const auto available = storage.number;
    if (entry.offset < 0) fail("an offset of " + std::to_string(entry.offset));
    if (entry.sizes.size() != entry.strides.size()) fail("sizes and strides of different lengths");
    // LibTorch multiplies sizes even where one of them is 0.
    std::int64_t elements = 1, padded = type->bytes, last = entry.offset;
    bool fits = true;
    for (std::size_t d = 0; d < entry.sizes.size(); ++d) {
      std::int64_t reach = 0;
      fits = fits && !__builtin_mul_overflow(elements, entry.sizes[d], &elements) &&
             !__builtin_mul_overflow(padded, std::max<std::int64_t>(entry.sizes[d], 1), &padded) &&
             !__builtin_mul_overflow(std::max<std::int64_t>(entry.sizes[d] - 1, 0),
                                     entry.strides[d], &reach) &&
             !__builtin_add_overflow(last, reach, &last);
    }
    if (!fits) fail("the sizes and strides of a tensor overflow");
    if (elements > 0 && last >= available)
      fail("a tensor reaches element " + std::to_string(last) + " of a storage of " +
           std::to_string(available));
    if (elements > available)
      fail("a tensor of " + std::to_string(elements) + " elements repeats those of a storage of " +
           std::to_string(available) + "; save a contiguous copy of it");
    return entry;
  }

  [[nodiscard]] const Value* find(const Value& dict, std::string_view key) const {
    const Value* found = nullptr;  // As in Python, the last one counts.
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2)
      if (const auto& name = values_[dict.items[i]]; name.kind == Kind::kText && name.text == key)
        found = &values_[dict.items[i + 1]];
    return found;
  }

  std::string_view bytes_;
  std::size_t at_ = 0, instruction_ = 0;
  std::vector<Value> values_;
  std::vector<TorchTensorEntry> tensors_;
  std::vector<std::uint32_t> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint64_t, std::uint32_t> memo_;
  std::uint32_t root_ = 0;
  bool stopped_ = false;
};

}  // namespace contrapunto::detail
