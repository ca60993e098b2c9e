// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/loss/full_precision.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/sigmoid_loss.hpp"
