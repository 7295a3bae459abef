// From types and scales known at run time to template parameters.
#pragma once

#include <type_traits>

#include "core/value.h"

namespace acutance {

// Calls f with a value of the pixel's C++ type.
template <class F>
auto with_pixel(Type t, F&& f) {
  switch (t) {
    case Type::u8:
      return f(uint8_t{});
    case Type::i16:
      return f(int16_t{});
    case Type::u16:
      return f(uint16_t{});
    default:
      return f(float{});
  }
}

// Calls f with a value of the tile sample's C++ type.
template <class F>
auto with_sample(Type t, F&& f) {
  return t == Type::f16 ? f(Half{}) : f(float{});
}

// Calls f with the scale as an std::integral_constant.
template <class F>
auto with_scale(int scale, F&& f) {
  switch (scale) {
    case 1:
      return f(std::integral_constant<int, 1>{});
    case 2:
      return f(std::integral_constant<int, 2>{});
    case 3:
      return f(std::integral_constant<int, 3>{});
    default:
      return f(std::integral_constant<int, 4>{});
  }
}

}  // namespace acutance
