// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/color_jitter.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/resize.hpp"
#include "contrapunto/image/resize_mode.hpp"
#include "contrapunto/image/rgb_image.hpp"

#ifdef CONTRAPUNTO_HAS_IMAGE
#include "contrapunto/image/decode_image.hpp"
#else
#include "contrapunto/image/detail/without_image.hpp"
#endif
