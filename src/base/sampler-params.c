/* The sampling parameters and their JSON form (declared in sampler.h). */
#include "base/sampler.h"

#include <stdlib.h>
#include <string.h>

#include <sys/random.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

enum { REPEAT_LAST_N = 64 }; /* llama.cpp's default, so that repeat_penalty alone means the same here */
enum { BIAS_MAX = 1024 };    /* most entries of logit_bias */

void sampler_params_init(struct sampler_params *p)
{
    *p = (struct sampler_params){.temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = REPEAT_LAST_N};
}

void sampler_params_finish(struct sampler_params *p)
{
    free(p->bias);
    sampler_params_init(p);
}

void sampler_params_copy(struct sampler_params *to, const struct sampler_params *from)
{
    *to = *from;
    to->bias = from->n_bias == 0 ? NULL : xmemdup(from->bias, from->n_bias * sizeof(*from->bias));
}

static void put_double(json_t *o, const char *key, double value, double unset)
{
    if (value != unset)
        json_object_set_new(o, key,
                            value == (double)(json_int_t)value ? json_integer((json_int_t)value) : json_real(value));
}

static void put_int(json_t *o, const char *key, int64_t value, int64_t unset)
{
    if (value != unset)
        json_object_set_new(o, key, json_integer(value));
}

json_t *sampler_params_to_json(const struct sampler_params *p)
{
    json_t *o = json_object();
    put_int(o, "seed", (int64_t)p->seed, 0);
    put_double(o, "temperature", p->temperature, 1);
    put_int(o, "top_k", p->top_k, 0);
    put_double(o, "top_p", p->top_p, 1);
    put_double(o, "min_p", p->min_p, 0);
    put_double(o, "repeat_penalty", p->repeat_penalty, 1);
    put_int(o, "repeat_last_n", p->repeat_last_n, REPEAT_LAST_N);
    put_double(o, "frequency_penalty", p->frequency_penalty, 0);
    put_double(o, "presence_penalty", p->presence_penalty, 0);
    if (p->n_bias > 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < p->n_bias; i++)
            json_array_append_new(list, json_pack("[if]", (int)p->bias[i].token, (double)p->bias[i].bias));
        json_object_set_new(o, "logit_bias", list);
    }
    return o;
}

/* [[id, bias], …] */
static int read_bias(struct sampler_params *p, const json_t *list, char **cause)
{
    if (list == NULL || json_is_null(list))
        return 0;
    if (!json_is_array(list) || json_array_size(list) > BIAS_MAX)
        return cause_set(cause, "\"logit_bias\" must be an array of at most %d pairs [token id, bias]", BIAS_MAX);
    size_t n = json_array_size(list);
    p->bias = xcalloc(n, sizeof(*p->bias));
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i);
        const json_t *id = json_array_get(pair, 0), *bias = json_array_get(pair, 1);
        double value = json_number_value(bias);
        if (json_array_size(pair) != 2 || !json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX || !json_is_number(bias) || value < -100 || value > 100)
            return cause_set(cause, "\"logit_bias\"[%zu] must be [token id, bias from -100 to 100]", i);
        p->bias[i] = (struct sampler_bias){.token = (int32_t)json_integer_value(id), .bias = (float)value};
    }
    p->n_bias = n;
    return 0;
}

static int check_keys(const json_t *o, char **cause)
{
    static const char *const known[] = {"seed",
                                        "temperature",
                                        "top_k",
                                        "top_p",
                                        "min_p",
                                        "repeat_penalty",
                                        "repeat_last_n",
                                        "frequency_penalty",
                                        "presence_penalty",
                                        "logit_bias"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value)
    {
        size_t i = 0;
        while (i < ARRAY_LEN(known) && strcmp(key, known[i]) != 0)
            i++;
        if (i == ARRAY_LEN(known))
            return cause_set(cause, "unknown sampling parameter \"%s\"", key);
    }
    return 0;
}

static int read_numbers(struct sampler_params *p, const json_t *o, char **cause)
{
    int64_t seed = 0, top_k = 0, last_n = REPEAT_LAST_N;
    if (json_get_int(o, "seed", INT64_MIN, INT64_MAX, &seed, cause) < 0 ||
        json_get_double(o, "temperature", 0, 2, &p->temperature, cause) < 0 ||
        json_get_int(o, "top_k", 0, INT32_MAX, &top_k, cause) < 0 ||
        json_get_double(o, "top_p", 0, 1, &p->top_p, cause) < 0 ||
        json_get_double(o, "min_p", 0, 1, &p->min_p, cause) < 0 ||
        json_get_double(o, "repeat_penalty", 0.01, 100, &p->repeat_penalty, cause) < 0 ||
        json_get_int(o, "repeat_last_n", -1, INT32_MAX, &last_n, cause) < 0 ||
        json_get_double(o, "frequency_penalty", -2, 2, &p->frequency_penalty, cause) < 0 ||
        json_get_double(o, "presence_penalty", -2, 2, &p->presence_penalty, cause) < 0)
        return -1;
    p->seed = (uint64_t)seed;
    p->top_k = (int32_t)top_k;
    p->repeat_last_n = (int32_t)last_n;
    return 0;
}

int sampler_params_from_json(struct sampler_params *p, const json_t *o, char **cause)
{
    sampler_params_init(p);
    if (!json_is_object(o))
        return cause_set(cause, "sampling parameters must be an object");
    if (check_keys(o, cause) < 0 || read_numbers(p, o, cause) < 0 ||
        read_bias(p, json_object_get(o, "logit_bias"), cause) < 0) {
        sampler_params_finish(p);
        return -1;
    }
    return 0;
}

uint64_t sampler_random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint64_t)clock_us() * UINT64_C(2654435761);
    return seed & 0x7fffffff;
}
