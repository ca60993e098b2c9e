// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_EXPORT
#error \
    "Contrapunto: a GraphDef needs the component `export` (protozero): use \
find_package(Contrapunto COMPONENTS export) and link contrapunto::export"
#endif

#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace contrapunto::detail {

inline constexpr std::int32_t kTensorflowString = 7;

/// The number of a dtype in TensorFlow.
[[nodiscard]] inline std::int32_t tensorflow_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return 1;
    case at::kInt:
      return 3;
    case at::kByte:
      return 4;
    case at::kLong:
      return 9;
    case at::kBFloat16:
      return 14;
    case at::kHalf:
      return 19;
    default:
      TORCH_CHECK(false, "write_saved_model: there is no dtype for ", type,
                  "; use float32, float16, bfloat16, int64, int32 or uint8");
  }
}

/// A TensorShapeProto; the size -1 is known at run time.
[[nodiscard]] inline std::string shape_proto(at::IntArrayRef sizes) {
  std::string bytes;
  protozero::pbf_writer shape(bytes);
  for (const auto size : sizes) {
    std::string dimension;
    protozero::pbf_writer(dimension).add_int64(1, size);
    shape.add_message(2, dimension);
  }
  return bytes;
}

/// An attribute of a NodeDef, with an AttrValue.
struct TensorflowAttribute {
  const char* key;
  std::string value;
};

inline TensorflowAttribute type_attribute(const char* key, std::int32_t type) {
  TensorflowAttribute attribute{key, {}};
  protozero::pbf_writer(attribute.value).add_enum(6, type);
  return attribute;
}
inline TensorflowAttribute type_attribute(const char* key, at::ScalarType type) {
  return type_attribute(key, tensorflow_type(type));
}
inline TensorflowAttribute shape_attribute(const char* key, at::IntArrayRef sizes) {
  TensorflowAttribute attribute{key, {}};
  protozero::pbf_writer(attribute.value).add_message(7, shape_proto(sizes));
  return attribute;
}
inline TensorflowAttribute text_attribute(const char* key, const std::string& text) {
  TensorflowAttribute attribute{key, {}};
  protozero::pbf_writer(attribute.value).add_bytes(2, text);
  return attribute;
}
inline TensorflowAttribute number_attribute(const char* key, std::int64_t number) {
  TensorflowAttribute attribute{key, {}};
  protozero::pbf_writer(attribute.value).add_int64(3, number);
  return attribute;
}
inline TensorflowAttribute flag_attribute(const char* key, bool flag) {
  TensorflowAttribute attribute{key, {}};
  protozero::pbf_writer(attribute.value).add_bool(5, flag);
  return attribute;
}
inline TensorflowAttribute numbers_attribute(const char* key,
                                             const std::vector<std::int64_t>& numbers) {
  TensorflowAttribute attribute{key, {}};
  protozero::pbf_writer value(attribute.value);
  protozero::pbf_writer(value, 1).add_packed_int64(3, numbers.begin(), numbers.end());
  return attribute;
}
inline TensorflowAttribute types_attribute(const char* key,
                                           const std::vector<std::int32_t>& types) {
  TensorflowAttribute attribute{key, {}};
  protozero::pbf_writer value(attribute.value);
  protozero::pbf_writer(value, 1).add_packed_enum(6, types.begin(), types.end());
  return attribute;
}

/// Raises if a protobuf of `bytes` bytes is larger than readers accept.
inline void check_protobuf_size(std::uint64_t bytes) {
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 31;
  TORCH_CHECK(bytes < kLimit, "write_saved_model: saved_model.pb would have ", bytes,
              " bytes or more, but a protobuf must be below 2 GiB; set constants = false, so that "
              "the weights stand in files of their own");
}

/// Writes the nodes of a GraphDef. Each function returns the name of its node, which is the name of
/// its first result.
class GraphDef {
 public:
  /// Adds the GraphDef to `meta_graph`, which writes to `buffer`, until the destructor.
  GraphDef(std::string& buffer, protozero::pbf_writer& meta_graph)
      : buffer_(buffer), out_(meta_graph, 2) {
    protozero::pbf_writer versions(out_, 4);
    versions.add_int32(1, 1394);  // Of TensorFlow 2.12; no node here means something else later.
  }

  std::string add(const std::string& name, const char* op, const std::vector<std::string>& inputs,
                  const std::vector<TensorflowAttribute>& attributes) {
    protozero::pbf_writer node(out_, 1);
    begin(node, name, op);
    for (const auto& input : inputs) node.add_string(3, input);
    for (const auto& attribute : attributes) add_attribute(node, attribute);
    return name;
  }

  /// A constant from its bytes.
  std::string constant(const std::string& name, at::ScalarType type, at::IntArrayRef sizes,
                       std::string_view bytes) {
    check_protobuf_size(buffer_.size() + bytes.size());
    return constant(name, tensorflow_type(type), sizes, [&](protozero::pbf_writer& tensor) {
      tensor.add_bytes(4, bytes.data(), bytes.size());
    });
  }
  std::string scalar(const std::string& name, float number) {
    return constant(name, at::kFloat, {}, bytes_of(&number, 1));
  }
  std::string scalar(const std::string& name, std::int32_t number) {
    return constant(name, at::kInt, {}, bytes_of(&number, 1));
  }
  /// Sizes and axes, int32.
  std::string list(const std::string& name, const std::vector<std::int64_t>& numbers,
                   std::vector<std::int64_t> shape = {}) {
    if (shape.empty()) shape = {static_cast<std::int64_t>(numbers.size())};
    std::vector<std::int32_t> narrow(numbers.size());
    std::transform(numbers.begin(), numbers.end(), narrow.begin(),
                   [](std::int64_t number) { return static_cast<std::int32_t>(number); });
    return constant(name, at::kInt, shape, bytes_of(narrow.data(), narrow.size()));
  }
  std::string texts(const std::string& name, at::IntArrayRef sizes,
                    const std::vector<std::string>& texts) {
    return constant(name, kTensorflowString, sizes, [&](protozero::pbf_writer& tensor) {
      for (const auto& text : texts) tensor.add_bytes(8, text);
    });
  }

 private:
  template <class Number>
  static std::string_view bytes_of(const Number* numbers, std::size_t count) {
    return {reinterpret_cast<const char*>(numbers), count * sizeof(Number)};
  }

  void begin(protozero::pbf_writer& node, const std::string& name, const char* op) {
    const auto is_letter = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    TORCH_CHECK(
        !name.empty() && (is_letter(name[0]) || name[0] == '.') &&
            std::all_of(name.begin(), name.end(),
                        [&](char c) { return is_letter(c) || c == '.' || c == '_' || c == '/'; }),
        "write_saved_model: '", name,
        "' is no name of a node; it needs letters, digits, dots and underscores, and no "
        "underscore at the start");
    TORCH_CHECK(names_.insert(name).second, "write_saved_model: the name '", name,
                "' appears twice");
    node.add_string(1, name);
    node.add_string(2, op);
  }

  static void add_attribute(protozero::pbf_writer& node, const TensorflowAttribute& attribute) {
    protozero::pbf_writer entry(node, 5);
    entry.add_string(1, attribute.key);
    entry.add_message(2, attribute.value);
  }

  template <class Content>
  std::string constant(const std::string& name, std::int32_t type, at::IntArrayRef sizes,
                       const Content& content) {
    protozero::pbf_writer node(out_, 1);
    begin(node, name, "Const");
    add_attribute(node, type_attribute("dtype", type));
    // In place, because it may be large.
    protozero::pbf_writer entry(node, 5);
    entry.add_string(1, "value");
    protozero::pbf_writer value(entry, 2);
    protozero::pbf_writer tensor(value, 8);
    tensor.add_enum(1, type);
    tensor.add_message(2, shape_proto(sizes));
    content(tensor);
    return name;
  }

  std::string& buffer_;
  protozero::pbf_writer out_;
  std::unordered_set<std::string> names_;
};

}  // namespace contrapunto::detail
