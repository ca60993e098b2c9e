// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/io/atomic_directory.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/file_lock.hpp"
#include "contrapunto/io/mapped_safetensors.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/io/read_lines.hpp"
#include "contrapunto/io/read_npz.hpp"
#include "contrapunto/io/read_torch_state.hpp"
#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/io/write_npz.hpp"

#ifdef CONTRAPUNTO_HAS_TEXT
#include "contrapunto/io/read_gzip.hpp"
#endif
