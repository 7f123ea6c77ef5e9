// The commands and characters that token.cc knows.
#pragma once

#include <string_view>

#include "answer/characters.h"

namespace temper::spelled {

// Sizes, spaces and frames, which say nothing.
constexpr std::string_view kSkipped[] = {
    "left",  "right",     "big",       "Big",       "bigl",      "bigr",     "Bigl",         "Bigr",
    "bigg",  "Bigg",      "biggl",     "biggr",     "middle",    "limits",   "displaystyle", "quad",
    "qquad", "textstyle", "hfill",     "underline", "boxed",     "fbox",     "noindent",     "hspace",
    "math",  "nolimits",  "mathstrut", "hline",     "thinspace", "medspace", "negthinspace"};

// Their argument is words; a name, which may be a function's or a letter; a letter that is another one than
// the plain.
constexpr std::string_view kTexts[] = {"text", "textbf", "textit", "textrm", "textnormal",
                                       "mbox", "hbox",   "emph",   "textup", "texttt"};
constexpr std::string_view kNames[] = {"mathrm", "operatorname", "mathit", "mathsf", "rm"};
constexpr std::string_view kVectors[] = {"mathbf", "boldsymbol", "bm", "vec", "hat", "overrightarrow", "bf"};

// Letters.
constexpr std::string_view kGreek[] = {"alpha", "beta",  "gamma", "delta", "epsilon", "varepsilon", "zeta",
                                       "eta",   "theta", "iota",  "kappa", "lambda",  "mu",         "nu",
                                       "xi",    "rho",   "sigma", "tau",   "phi",     "varphi",     "chi",
                                       "psi",   "omega", "Gamma", "Delta", "Theta",   "Lambda",     "Xi",
                                       "Sigma", "Phi",   "Psi",   "Omega", "ell",     "hbar"};

// Commands and plain words that are another name of a command.
constexpr Spelling kCommandNames[] = {{"dfrac", "frac"},
                                      {"tfrac", "frac"},
                                      {"cfrac", "frac"},
                                      {"dbinom", "binom"},
                                      {"tbinom", "binom"},
                                      {"leq", "le"},
                                      {"leqslant", "le"},
                                      {"geq", "ge"},
                                      {"geqslant", "ge"},
                                      {"neq", "ne"},
                                      {"varnothing", "emptyset"},
                                      {"backslash", "setminus"},
                                      {"degree", "circ"},
                                      {"lbrace", "{"},
                                      {"rbrace", "}"},
                                      {"lvert", "|"},
                                      {"rvert", "|"},
                                      {"vert", "|"},
                                      {"mid", "|"},
                                      {"lg", "log10"},
                                      {"arctg", "arctan"},
                                      {"tg", "tan"},
                                      {"ctg", "cot"},
                                      {"cosec", "csc"},
                                      {"simeq", "approx"},
                                      {"thickapprox", "approx"},
                                      {"doteq", "approx"},
                                      {"inf", "infty"},
                                      {"infinity", "infty"},
                                      {"oo", "infty"},
                                      {"asin", "arcsin"},
                                      {"acos", "arccos"},
                                      {"atan", "arctan"},
                                      {"union", "cup"},
                                      {"smallsetminus", "setminus"},
                                      {"colon", ":"},
                                      {"lparen", "("},
                                      {"rparen", ")"},
                                      {"lbrack", "["},
                                      {"rbrack", "]"}};

// Commands that are one character elsewhere.
constexpr Spelling kMarkNames[] = {{"cdot", "*"}, {"times", "*"}, {"ast", "*"}, {"div", "/"}, {"lt", "<"},
                                   {"gt", ">"},   {"%", "%"},     {"&", "&"},   {":", ":"},   {"(", "("},
                                   {")", ")"},    {"[", "["},     {"]", "]"},   {"|", "|"}};

constexpr Spelling kCharacters[] = {
    {"−", "-"},           {"–", "-"},           {"×", "*"},           {"·", "*"},
    {"⋅", "*"},           {"∗", "*"},           {"÷", "/"},           {"⁄", "/"},
    {"≈", "\\approx "},   {"％", "%"},          {"\u2009", " "},      {"\u202f", " "},
    {"\u00a0", " "},      {"\u2008", " "},      {"\u200a", " "},      {"\u200b", ""},
    {"π", "\\pi "},       {"√", "\\sqrt "},     {"∞", "\\infty "},    {"±", "\\pm "},
    {"∓", "\\mp "},       {"≤", "\\le "},       {"≥", "\\ge "},       {"≠", "\\ne "},
    {"°", "\\circ "},     {"∪", "\\cup "},      {"∩", "\\cap "},      {"∅", "\\emptyset "},
    {"∈", "\\in "},       {"ℝ", "\\mathbb{R}"}, {"ℤ", "\\mathbb{Z}"}, {"ℕ", "\\mathbb{N}"},
    {"ℚ", "\\mathbb{Q}"}, {"ℂ", "\\mathbb{C}"}, {"α", "\\alpha "},    {"β", "\\beta "},
    {"γ", "\\gamma "},    {"δ", "\\delta "},    {"θ", "\\theta "},    {"λ", "\\lambda "},
    {"μ", "\\mu "},       {"σ", "\\sigma "},    {"φ", "\\phi "},      {"ω", "\\omega "},
    {"⟨", "\\langle "},   {"⟩", "\\rangle "},   {"′", "'"},           {"∖", "\\setminus "},
    {"⩽", "\\le "},       {"⩾", "\\ge "},       {"∛", "\\sqrt[3]"}};

constexpr std::string_view kSubscripts[] = {"₀", "₁", "₂", "₃", "₄", "₅", "₆", "₇", "₈", "₉"};

// Commands that plain letters name too.
constexpr std::string_view kPlainCommands[] = {"sqrt", "pi", "infty", "cup"};

}  // namespace temper::spelled
