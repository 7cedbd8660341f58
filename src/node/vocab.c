/* The vocabulary's side of a model: pieces, fingerprint, tokens from text and back, the chat template (model.h). */
#include "node/vocab.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>
#include <openssl/evp.h>

#include "base/cause.h"
#include "base/mem.h"

enum { PIECE_GUESS = 64 };

void node_vocab_read(struct node_model *m)
{
    size_t used = 0, size = (size_t)m->n_vocab * 8 + PIECE_GUESS;
    m->pieces = xmalloc(size);
    m->piece_start = xcalloc((size_t)m->n_vocab + 1, sizeof(*m->piece_start));
    m->piece_hidden = xcalloc((size_t)m->n_vocab, sizeof(*m->piece_hidden));
    m->eog = xcalloc((size_t)m->n_vocab, sizeof(*m->eog));
    for (int32_t id = 0; id < m->n_vocab; id++) {
        int32_t n;
        while ((n = llama_token_to_piece(m->vocab, id, m->pieces + used, (int32_t)(size - used), 0, true)) < 0) {
            size = size * 2 + (size_t)-n;
            m->pieces = xrealloc(m->pieces, size);
        }
        char none[PIECE_GUESS];
        m->piece_hidden[id] = n > 0 && llama_token_to_piece(m->vocab, id, none, PIECE_GUESS, 0, false) == 0;
        used += (size_t)n;
        m->piece_start[id + 1] = (uint32_t)used;
        if (llama_vocab_is_eog(m->vocab, id))
            m->eog[m->n_eog++] = id;
    }
    m->bos = llama_vocab_bos(m->vocab);
    m->add_bos = llama_vocab_get_add_bos(m->vocab);
    m->chat_template = llama_model_chat_template(m->llama, NULL) != NULL;
    node_model_fingerprint(m, m->n_vocab, m->fingerprint);
}

void node_model_fingerprint(const struct node_model *m, int32_t n, char out[NODE_FINGERPRINT_SIZE])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (md == NULL || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
        abort();
    for (int32_t id = 0; id < n && id < m->n_vocab; id++) {
        const char *text = llama_vocab_get_text(m->vocab, id);
        size_t len = text != NULL ? strlen(text) : 0;
        unsigned char le[4] = {(unsigned char)len, (unsigned char)(len >> 8), (unsigned char)(len >> 16),
                               (unsigned char)(len >> 24)};
        EVP_DigestUpdate(md, le, sizeof(le));
        EVP_DigestUpdate(md, text, len);
    }
    EVP_DigestFinal_ex(md, digest, &size);
    EVP_MD_CTX_free(md);
    for (unsigned int i = 0; i < size; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[2 * size] = '\0';
}

const char *node_model_piece(const struct node_model *m, int32_t token, bool special, size_t *len)
{
    *len = 0;
    if (token < 0 || token >= m->n_vocab || (m->piece_hidden[token] && !special))
        return "";
    *len = m->piece_start[token + 1] - m->piece_start[token];
    return m->pieces + m->piece_start[token];
}

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

bool node_model_is_eog(const struct node_model *m, int32_t token)
{
    return m->n_eog > 0 && bsearch(&token, m->eog, m->n_eog, sizeof(token), compare) != NULL;
}

int node_model_tokenize(const struct node_model *m, const char *text, size_t len, bool special, bool bos,
                        int32_t **tokens, size_t *n, char **cause)
{
    if (len > INT32_MAX / 2)
        return cause_set(cause, "text of %zu bytes is too long to be tokenized", len);
    /* add_special would add an EOS too where the model wants one, which no prompt may end with. */
    bool begin = bos && m->add_bos && m->bos >= 0;
    int32_t room = (int32_t)len + 8;
    *tokens = xmalloc(((size_t)room + 1) * sizeof(**tokens));
    int32_t got = llama_tokenize(m->vocab, text, (int32_t)len, *tokens + begin, room, false, special);
    if (got < 0 && got != INT32_MIN) {
        room = -got;
        *tokens = xrealloc(*tokens, ((size_t)room + 1) * sizeof(**tokens));
        got = llama_tokenize(m->vocab, text, (int32_t)len, *tokens + begin, room, false, special);
    }
    if (got < 0) {
        free(*tokens);
        *tokens = NULL;
        return cause_set(cause, "llama.cpp can't tokenize this text");
    }
    /* The template of some models writes the beginning token itself. */
    if (begin && got > 0 && (*tokens)[1] == m->bos) {
        memmove(*tokens, *tokens + 1, (size_t)got * sizeof(**tokens));
        begin = false;
    }
    if (begin)
        (*tokens)[0] = m->bos;
    *n = (size_t)got + begin;
    return 0;
}

char *node_model_detokenize(const struct node_model *m, const int32_t *tokens, size_t n, bool special, size_t *len)
{
    size_t total = 0, piece_len;
    for (size_t i = 0; i < n; i++) {
        node_model_piece(m, tokens[i], special, &piece_len);
        total += piece_len;
    }
    char *text = xmalloc(total + 1);
    *len = total;
    total = 0;
    for (size_t i = 0; i < n; i++) {
        const char *piece = node_model_piece(m, tokens[i], special, &piece_len);
        memcpy(text + total, piece, piece_len);
        total += piece_len;
    }
    text[total] = '\0';
    return text;
}

char *node_model_template(const struct node_model *m, const struct node_message *messages, size_t n, char **cause)
{
    const char *tmpl = llama_model_chat_template(m->llama, NULL);
    if (tmpl == NULL) {
        cause_set(cause, "%s has no chat template: use /v1/completions, or a model made for chat", m->name);
        return NULL;
    }
    struct llama_chat_message *chat = xcalloc(n, sizeof(*chat));
    size_t size = 256;
    for (size_t i = 0; i < n; i++) {
        chat[i] = (struct llama_chat_message){.role = messages[i].role, .content = messages[i].content};
        size += strlen(messages[i].role) + 2 * strlen(messages[i].content) + 64;
    }
    char *text = NULL;
    int32_t need = size > INT32_MAX ? -1 : (int32_t)size;
    do {
        if (need < 0 || need == INT32_MAX)
            break;
        size = (size_t)need + 1;
        text = xrealloc(text, size);
        need = llama_chat_apply_template(tmpl, chat, n, true, text, (int32_t)size);
    } while (need >= (int32_t)size);
    free(chat);
    if (need < 0) {
        free(text);
        cause_set(cause,
                  "the chat template of %s is not one of those that llama.cpp knows without a template engine: "
                  "render the prompt yourself and use /v1/completions",
                  m->name);
        return NULL;
    }
    text[need] = '\0';
    return text;
}
