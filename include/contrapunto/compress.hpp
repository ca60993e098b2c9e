// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/compress/inherit_weights.hpp"
#include "contrapunto/compress/load_teacher.hpp"
#include "contrapunto/compress/measure_importance.hpp"
#include "contrapunto/compress/unit_importance.hpp"
