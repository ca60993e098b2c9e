// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/image/apply_operation.hpp"
#include "contrapunto/image/augment_policy.hpp"
#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/bounding_box.hpp"
#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/color_jitter.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "contrapunto/image/erase_box.hpp"
#include "contrapunto/image/erased_box.hpp"
#include "contrapunto/image/gaussian_blur.hpp"
#include "contrapunto/image/image_operation.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/image/image_transform_options.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/mix_images.hpp"
#include "contrapunto/image/mixed_row.hpp"
#include "contrapunto/image/mixup.hpp"
#include "contrapunto/image/move_pixels.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/random_erasing.hpp"
#include "contrapunto/image/resize.hpp"
#include "contrapunto/image/resize_mode.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/image/sharpness.hpp"
#include "contrapunto/image/tone_curves.hpp"

#ifdef CONTRAPUNTO_HAS_IMAGE
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/encode_jpeg.hpp"
#include "contrapunto/image/image_decoder.hpp"
#else
#include "contrapunto/image/detail/without_image.hpp"
#endif
