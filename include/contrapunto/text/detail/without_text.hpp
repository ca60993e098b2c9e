// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef CONTRAPUNTO_HAS_TEXT
#include "contrapunto/text/bpe_tokenizer.hpp"
#else
#include "contrapunto/core/detail/missing_component.hpp"

namespace contrapunto {
namespace detail {

template <class Linked = void>
struct BpeTokenizerWithoutText {
  static_assert(kIsLinked<Linked>,
                "BpeTokenizer needs the component `text`: use find_package(Contrapunto COMPONENTS "
                "text) and link contrapunto::text");
};

}  // namespace detail

/// Replaces the class if the component is not linked, and fails to compile with a message if it is
/// used.
using BpeTokenizer = detail::BpeTokenizerWithoutText<>;

}  // namespace contrapunto
#endif
