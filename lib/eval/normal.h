// The normal distribution of one and two variables.
#pragma once

namespace temper {

double normal_cdf(double x);

// The inverse of normal_cdf, for p in (0, 1); -inf and inf at the ends. By Acklam's rational approximation
// and one step of Halley's method, which leaves an error of a few units in the last place.
double normal_quantile(double p);

// P(X <= x, Y <= y) of two standard normal variables with correlation rho in [-1, 1]. Absolute error below
// 1e-14: Drezner and Wesolowsky's method as Genz refined it (Numerical computation of rectangular bivariate
// and trivariate normal and t probabilities, Statistics and Computing 14, 2004).
double bivariate_normal_cdf(double x, double y, double rho);

// Its density at (x, y), for rho inside (-1, 1); the derivative of bivariate_normal_cdf in rho.
double bivariate_normal_density(double x, double y, double rho);

// The correlation at which P(X <= x, Y <= y) = p (the tetrachoric correlation of a two-by-two table). A p out
// of reach gives the nearer of -1 and 1, short of it by 1e-12.
double correlation_of(double x, double y, double p);

}  // namespace temper
