"""All rows seen through m inducing points: O(n m^2) time, O(m^2) memory.

Row i has a precision lambda_i (Gaussian noise: 1 / its variance) and columns c_i, its
targets and the columns of a trend. With K = K_uu + jitter = L L' and a_i = L^-1 k_ui,

    S = sum_i lambda_i a_i a_i',  B = I + S,  b = sum_i lambda_i a_i c_i'

are what the rows say: whitened before they are summed, as raw sums of k k' would lose
half of their digits. C = A'A + Lambda^-1 being the covariance that the points make of
all rows (Titsias 2009), the bound on the evidence of T targets is

    log N(y; 0, C) - T/2 sum_i lambda_i (k_ii - |a_i|^2),
    C^-1 = Lambda - Lambda A'B^-1 A Lambda,   log|C| = log|B| - sum_i log lambda_i,

so that c'C^-1 c = c'Lambda c - b'B^-1 b for the columns: see `columns` for a trend. A
new row has a* and, with beta = B^-1 b,

    mean = a*'beta,   variance = k** - |a*|^2 + a*'B^-1 a*.
"""
