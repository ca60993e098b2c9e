// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/kernels/augment_images.hpp"
#include "contrapunto/kernels/free_memory.hpp"
#include "contrapunto/kernels/normalize_images.hpp"
#include "contrapunto/kernels/packed_images.hpp"
