// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/text/byte_tokenizer.hpp"
#include "contrapunto/text/fill_prompt.hpp"
#include "contrapunto/text/make_tokenizer.hpp"
#include "contrapunto/text/tokenizer.hpp"

#ifdef CONTRAPUNTO_HAS_TEXT
#include "contrapunto/text/bpe_tokenizer.hpp"
#include "contrapunto/text/write_hugging_face_tokenizer.hpp"
#else
#include "contrapunto/text/detail/without_text.hpp"
#endif
