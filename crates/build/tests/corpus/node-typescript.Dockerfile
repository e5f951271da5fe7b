FROM node:20 AS build
WORKDIR /src
COPY package.json package-lock.json tsconfig.json ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY src ./src
RUN npx tsc --outDir /out

FROM node:20-slim AS test
COPY --from=build /out /out
RUN node --test /out

FROM node:20-slim
COPY --from=build /out /app
CMD ["node", "/app/index.js"]
