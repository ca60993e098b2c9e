// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef CONTRAPUNTO_HAS_IMAGE
#include "contrapunto/data/data_loader.hpp"
#else
#include "contrapunto/core/detail/missing_component.hpp"

namespace contrapunto {
namespace detail {

template <class Linked = void>
struct DataLoaderWithoutImage {
  static_assert(kIsLinked<Linked>,
                "DataLoader needs the component `image`: use find_package(Contrapunto COMPONENTS "
                "image) and link contrapunto::image");
};

}  // namespace detail

/// Replaces the class if the component is not linked, and fails to compile with a message if it is
/// used.
using DataLoader = detail::DataLoaderWithoutImage<>;

}  // namespace contrapunto
#endif
