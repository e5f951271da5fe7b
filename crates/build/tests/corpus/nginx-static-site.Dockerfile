FROM node:20-slim AS site
WORKDIR /site
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY . .
RUN npm run build

FROM nginx:stable
COPY --from=site /site/dist /usr/share/nginx/html
