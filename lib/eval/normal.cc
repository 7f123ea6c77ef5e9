#include "eval/normal.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace temper {
namespace {

constexpr double kTwoPi = 6.283185307179586476925286766559;

// Gauss-Legendre's rule of 20 points on [-1, 1]: the positive ones and their weights.
constexpr double kNodes[] = {
    0.99312859918509488, 0.96397192727791381, 0.912234428251326,   0.83911697182221878, 0.7463319064601508,
    0.63605368072651502, 0.51086700195082713, 0.37370608871541955, 0.22778585114164507, 0.076526521133497338};
constexpr double kWeights[] = {0.017614007139152118, 0.040601429800386939, 0.062672048334109068,
                               0.083276741576704755, 0.10193011981724044,  0.11819453196151841,
                               0.13168863844917664,  0.14209610931838204,  0.14917298647260374,
                               0.15275338713072584};

// The integral of f over [0, 1].
template <class F>
double integral(F f) {
  double sum = 0;
  for (int i = 0; i < 10; ++i) sum += kWeights[i] * (f((1 - kNodes[i]) / 2) + f((1 + kNodes[i]) / 2));
  return sum / 2;
}

// P(X > h, Y > k) - P(X > h) P(Y > k) = 1 / 2 pi times the integral, over the angle t from 0 to asin(rho), of
// exp(-(h^2 + k^2 - 2 h k sin t) / (2 cos^2 t)).
double by_angle(double h, double k, double rho) {
  const double end = std::asin(rho);
  return end / kTwoPi * integral([&](double share) {
           const double s = std::sin(end * share);
           return std::exp((s * h * k - (h * h + k * k) / 2) / (1 - s * s));
         });
}

// The same area counted from rho = 1, where by_angle() meets a spike: P(X > max(h, k)) less what rho takes
// away, which is an integral over x = sqrt(1 - r^2) from 0 to sqrt(1 - rho^2) with its singular part, an
// expansion in x, integrated by itself (Genz's equation 6). rho in (0, 1].
double near_one(double h, double k, double rho) {
  const double hk = h * k, a2 = (1 - rho) * (1 + rho), b2 = (h - k) * (h - k);
  double away = 0;
  if (a2 > 0) {
    const double a = std::sqrt(a2), b = std::sqrt(b2), c = (4 - hk) / 8, d = (12 - hk) / 80;
    const double exponent = -(b2 / a2 + hk) / 2;
    if (exponent > -100)
      away = a * std::exp(exponent) * (1 - c * (b2 - a2) * (1 - d * b2) / 3 + c * d * a2 * a2);
    if (hk > -100)
      away -=
          std::exp(-hk / 2) * std::sqrt(kTwoPi) * normal_cdf(-b / a) * b * (1 - c * b2 * (1 - d * b2) / 3);
    away += a * integral([&](double share) {
              const double x2 = a2 * share * share, at = -(b2 / x2 + hk) / 2;
              if (at <= -100) return 0.0;
              const double root = std::sqrt(1 - x2);
              const double exact = std::exp(-(hk / 2) * x2 / ((1 + root) * (1 + root))) / root;
              return std::exp(at) * (exact - (1 + c * x2 * (1 + 5 * d * x2)));
            });
  }
  return normal_cdf(-std::max(h, k)) - away / kTwoPi;
}

}  // namespace

double normal_cdf(double x) {
  return std::erfc(-x / std::sqrt(2.0)) / 2;
}

double normal_quantile(double p) {
  if (p <= 0) return -std::numeric_limits<double>::infinity();
  if (p >= 1) return std::numeric_limits<double>::infinity();
  if (p > 0.5) return -normal_quantile(1 - p);
  double x = 0;
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    x = (((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838e+00) * q -
           2.549732539343734e+00) *
              q +
          4.374664141464968e+00) *
             q +
         2.938163982698783e+00) /
        ((((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996e+00) * q +
          3.754408661907416e+00) *
             q +
         1);
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((-3.969683028665376e+01 * r + 2.209460984245205e+02) * r - 2.759285104469687e+02) * r +
           1.383577518672690e+02) *
              r -
          3.066479806614716e+01) *
             r +
         2.506628277459239e+00) *
        q /
        (((((-5.447609879822406e+01 * r + 1.615858368580409e+02) * r - 1.556989798598866e+02) * r +
           6.680131188771972e+01) *
              r -
          1.328068155288572e+01) *
             r +
         1);
  }
  const double step = (normal_cdf(x) - p) * std::sqrt(kTwoPi) * std::exp(x * x / 2);
  return x - step / (1 + x * step / 2);
}

double bivariate_normal_cdf(double x, double y, double rho) {
  const double h = -x, k = -y;  // P(X <= x, Y <= y) = P(X > h, Y > k)
  double out = 0;
  if (std::abs(rho) < 0.925)
    out = by_angle(h, k, rho) + normal_cdf(x) * normal_cdf(y);
  else if (rho > 0)
    out = near_one(h, k, rho);
  else  // P(X > h) less that of Y <= k, where -Y has the correlation -rho
    out = normal_cdf(-h) - near_one(h, -k, -rho);
  return std::clamp(out, 0.0, 1.0);
}

double bivariate_normal_density(double x, double y, double rho) {
  const double rest = (1 - rho) * (1 + rho);
  return std::exp(-(x * x - 2 * rho * x * y + y * y) / (2 * rest)) / (kTwoPi * std::sqrt(rest));
}

double correlation_of(double x, double y, double p) {
  // Newton's method on the angle asin(rho), in which p grows; halving where a step leaves what is known.
  const double end = std::asin(1 - 1e-12);
  double low = -end, high = end, angle = 0;
  for (int i = 0; i < 60 && high - low > 1e-13; ++i) {
    const double rho = std::sin(angle), beyond = bivariate_normal_cdf(x, y, rho) - p;
    if (beyond == 0) break;
    (beyond > 0 ? high : low) = angle;
    const double slope = bivariate_normal_density(x, y, rho) * std::cos(angle);
    const double next = angle - beyond / slope;
    if (std::isfinite(next) && std::abs(next - angle) < 1e-13) break;
    angle = std::isfinite(next) && next > low && next < high ? next : (low + high) / 2;
  }
  return std::sin(angle);
}

}  // namespace temper
