// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef CONTRAPUNTO_HAS_IMAGE
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/image_decoder.hpp"
#else
#include "contrapunto/core/detail/missing_component.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Replaces the function if the component is not linked, and fails to compile with a message if it
/// is called.
template <class... Arguments>
RgbImage decode_image(Arguments&&... /*arguments*/) {
  static_assert((detail::kIsLinked<Arguments> && ...),
                "decode_image needs the component `image`: use find_package(Contrapunto COMPONENTS "
                "image) and link contrapunto::image");
  return {};
}

namespace detail {

template <class Linked = void>
struct ImageDecoderWithoutImage {
  static_assert(kIsLinked<Linked>,
                "ImageDecoder needs the component `image`: use find_package(Contrapunto COMPONENTS "
                "image) and link contrapunto::image");
};

}  // namespace detail

/// Replaces the class if the component is not linked, and fails to compile with a message if it is
/// used.
using ImageDecoder = detail::ImageDecoderWithoutImage<>;

}  // namespace contrapunto
#endif
