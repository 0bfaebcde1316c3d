/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <string.h>

#include "warmup.h"

static void tell(struct target *target, enum event event, const void *data, size_t size) {
  struct result *result = &target->result;
  uint16_t *pair = &target->trace.pairs[target->last][event];
  uint8_t kind = (uint8_t)event;
  if (*pair < UINT16_MAX) ++*pair;
  target->last = event;
  result->digest = digest_bytes(digest_bytes(result->digest, &kind, 1), data, size);
  if (++result->events == EVENTS_ENOUGH) XML_StopParser(target->innermost, XML_FALSE);
}

static void tell_text(struct target *target, enum event event, const XML_Char *text) {
  tell(target, event, text ? text : "", text ? strlen(text) : 0);
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes) {
  struct target *target = user;
  if (++target->depth > target->result.depth) target->result.depth = target->depth;
  tell_text(target, EVENT_START, name);
  for (; *attributes; attributes++)
    target->result.digest = digest_bytes(target->result.digest, *attributes, strlen(*attributes) + 1);
}

static void on_end(void *user, const XML_Char *name) {
  struct target *target = user;
  target->depth--;
  tell_text(target, EVENT_END, name);
}

static void on_text(void *user, const XML_Char *text, int length) { tell(user, EVENT_TEXT, text, (size_t)length); }
static void on_comment(void *user, const XML_Char *text) { tell_text(user, EVENT_COMMENT, text); }
static void on_cdata(void *user) { tell_text(user, EVENT_CDATA, NULL); }
static void on_cdata_end(void *user) { tell_text(user, EVENT_CDATA_END, NULL); }
static void on_doctype_end(void *user) { tell_text(user, EVENT_DOCTYPE_END, NULL); }

static void on_instruction(void *user, const XML_Char *name, const XML_Char *text) {
  tell_text(user, EVENT_INSTRUCTION, name);
  tell_text(user, EVENT_INSTRUCTION, text);
}

static void on_element(void *user, const XML_Char *name, XML_Content *model) {
  struct target *target = user;
  uint32_t shape[3] = {model->type, model->quant, model->numchildren};
  tell_text(target, EVENT_ELEMENT, name);
  target->result.digest = digest_bytes(target->result.digest, shape, sizeof shape);
  XML_FreeContentModel(target->innermost, model);
}

static void on_attlist(void *user, const XML_Char *element, const XML_Char *name, const XML_Char *type, const XML_Char *value,
                       int required) {
  (void)name, (void)value, (void)required;
  tell_text(user, EVENT_ATTLIST, element);
  tell_text(user, EVENT_ATTLIST, type);
}

static void on_entity(void *user, const XML_Char *name, int parameter, const XML_Char *value, int length, const XML_Char *base,
                      const XML_Char *system, const XML_Char *public, const XML_Char *notation) {
  (void)parameter, (void)base, (void)system, (void)public, (void)notation;
  tell_text(user, EVENT_ENTITY, name);
  tell(user, EVENT_ENTITY, value ? value : "", value ? (size_t)length : 0);
}

static void on_notation(void *user, const XML_Char *name, const XML_Char *base, const XML_Char *system, const XML_Char *public) {
  (void)base, (void)system, (void)public;
  tell_text(user, EVENT_NOTATION, name);
}

static void on_skipped(void *user, const XML_Char *name, int parameter) {
  (void)parameter;
  tell_text(user, EVENT_SKIPPED, name);
}

/* Every encoding that expat does not know is Latin-1 with two bytes for what is above 0xF0. */
static int convert(void *data, const char *bytes) {
  (void)data;
  return 0x100 + (unsigned char)bytes[1];
}

static int on_encoding(void *user, const XML_Char *name, XML_Encoding *encoding) {
  tell_text(user, EVENT_ENCODING, name);
  for (int i = 0; i < 256; i++) encoding->map[i] = i < 0xF0 ? i : -2;
  encoding->data = NULL;
  encoding->convert = convert;
  encoding->release = NULL;
  return XML_STATUS_OK;
}

/* Nothing is read from anywhere: there is a text for each name. General entities (those with a context) are not followed:
 * expat would copy all declarations for each. */
static int on_external(XML_Parser parser, const XML_Char *context, const XML_Char *base, const XML_Char *system,
                       const XML_Char *public) {
  (void)base, (void)public;
  struct target *target = XML_GetUserData(parser);
  tell_text(target, EVENT_EXTERNAL, system);
  if (context) return XML_STATUS_OK;
  if (++target->result.nested > 64) return XML_STATUS_ERROR;
  const char *text = warmup_external(system ? system : "");
  XML_Parser inner = XML_ExternalEntityParserCreate(parser, context, NULL);
  if (!inner) return XML_STATUS_ERROR;
  XML_SetUnknownEncodingHandler(inner, on_encoding, target); /* all but this one's argument is inherited */
  XML_Parser outer = target->innermost;
  target->innermost = inner;
  enum XML_Status status = XML_Parse(inner, text, (int)strlen(text), XML_TRUE);
  target->innermost = outer;
  XML_ParserFree(inner);
  return status == XML_STATUS_OK ? XML_STATUS_OK : XML_STATUS_ERROR;
}

void events_listen(struct target *target) {
  XML_Parser parser = target->innermost = target->parser;
  XML_SetUserData(parser, target);
  XML_SetElementHandler(parser, on_start, on_end);
  XML_SetCharacterDataHandler(parser, on_text);
  XML_SetCommentHandler(parser, on_comment);
  XML_SetProcessingInstructionHandler(parser, on_instruction);
  XML_SetCdataSectionHandler(parser, on_cdata, on_cdata_end);
  XML_SetEndDoctypeDeclHandler(parser, on_doctype_end);
  XML_SetElementDeclHandler(parser, on_element);
  XML_SetAttlistDeclHandler(parser, on_attlist);
  XML_SetEntityDeclHandler(parser, on_entity);
  XML_SetNotationDeclHandler(parser, on_notation);
  XML_SetSkippedEntityHandler(parser, on_skipped);
  XML_SetExternalEntityRefHandler(parser, on_external);
  XML_SetUnknownEncodingHandler(parser, on_encoding, target);
}

void events_forget(struct target *target) {
  target->depth = 0;
  target->last = EVENT_NONE;
  target->result = (struct result){.digest = DIGEST_START};
  target->trace = (struct trace){{{0}}};
}
